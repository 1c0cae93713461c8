"""Tiny late-interaction checkpoints with random weights, in the formats that real ones come in, made offline.

The weights mean nothing; the tokenizers, the files and the arithmetic are real.
"""

from __future__ import annotations

import json
import math
import random
import string
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import regex
import sentence_transformers
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from latelens import Encoder, load_encoder

# Whether sentence-transformers 6 is here; if not, PyLate is: no environment holds both.
MULTI_VECTOR = hasattr(sentence_transformers, "MultiVectorEncoder")
needs_multi_vector = pytest.mark.skipif(not MULTI_VECTOR, reason="needs sentence-transformers 6")
needs_pylate = pytest.mark.skipif(MULTI_VECTOR, reason="needs PyLate, in an environment of its own")

# One for each family of tokenizers: the name says how spans come out.
FAMILIES = ("wordpiece", "modern_bpe", "unigram", "roberta_bpe", "spm_bpe")
HIDDEN, DIM, POSITIONS = 32, 16, 128

SENTENCES = [
    "The old lighthouse keeper counts forty-two ships before breakfast.",
    "Grandmother's recipe (with cinnamon, nutmeg & orange) feeds eight people.",
    "Why do swallows return in April, and where do they sleep in winter?",
    "Payment of 3.50 € is due within 14 days; otherwise a fee applies!",
    "Die Straßenbahn fährt über die Brücke und hält vor dem Rathaus.",
    "Le café du coin était fermé dès l'été, hélas, à cause des travaux.",
    "El niño corrió detrás del perro hasta la orilla del río.",
    "Šest žab přeskočilo potůček a zmizelo v trávě.",
    "Рыбаки вернулись домой с пустыми сетями под дождём.",
    "Η γάτα κοιμάται πάνω στο παλιό ξύλινο τραπέζι.",
    "今天早上图书馆门口站着很多学生。",
    "夕方になると港の灯りがつきます。ラーメンを食べたいです。",
    "비가 오면 우산을 쓰고 시장에 간다.",
    "القطار يصل إلى المحطة في الساعة السابعة مساء.",
    "הספרן סגר את החלון לפני הסערה.",
    "बारिश में बच्चे नदी के किनारे खेलते हैं।",
    "ช้างเดินข้ามแม่น้ำในตอนเช้า",
    "😀 👍 🚀 🎉 the party starts at 9:30",
]
# What has broken tokenizers, windows and spans.
HOSTILE = [
    "", " ", "  \n\t ", "\u3000", "\u00a0", "\r\n", "\x00", "\xad", "\ufeff", "\u200b",
    "\u200d", "\u2028", "\x7f", "e\u0301", "n\u0303", "\u0301", "o\u0302\u0323",
    "Z\u0351\u036b\u0343", "\u1112\u1161\u11ab", "각", "नि", "ที่", "👩\u200d👩\u200d👧\u200d👦",
    "🏳\ufe0f\u200d🌈", "👍🏽", "🇩🇪🇫🇷", "1\ufe0f\u20e3", "❤\ufe0f", "😀", "½", "ﬁ", "ﷺ", "①", "図書館",
    "門口", "、", "。", "שלום", "السلام", "\u202eabc\u202c", "\u0600", "𝔘𝔫𝔦", "𠮷", "\ue000",
    "\ufffd", "\u0378", "\ud800", "\udfff", "[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]",
    "[D] ", "[Q] ", "[D]", "</s>", "<s>", "<mask>", "<unk>", "[unused0]", "[unused1] ", "▁",
    "▁x", "Ġ", "##ing", "it's", "3.50 €", "(a)", "...", "!?", "--", "https://a.b/c.png",
    "antidisestablishmentarianism", "ÀÉÎ", "ß", "İ", "ǅ",
]  # fmt: skip
_BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


_FOLDER = tempfile.TemporaryDirectory(prefix="latelens-tiny-")
_FIXED = {"strategy": "fixed", "length": 32}

# Every format with every family, and every kind of query expansion.
CHECKPOINTS: dict[str, Any] = {
    "wordpiece-native": lambda folder: save_native(folder, "wordpiece", expansion=_FIXED),
    "wordpiece-pylate": lambda folder: save_pylate(folder, "wordpiece"),
    "wordpiece-stanford": lambda folder: save_stanford(folder),
    "wordpiece-plain": lambda folder: save_plain(folder, "wordpiece"),
    "modern_bpe-native": lambda folder: save_native(
        folder, "modern_bpe", expansion={"strategy": "min", "length": 24}, query_length=48
    ),
    "modern_bpe-pylate": lambda folder: save_pylate(folder, "modern_bpe", do_query_expansion=False),
    "modern_bpe-plain": lambda folder: save_plain(folder, "modern_bpe"),
    "unigram-native": lambda folder: save_native(folder, "unigram", expansion=_FIXED | {"attend": True}),
    "unigram-pylate": lambda folder: save_pylate(folder, "unigram", attend_to_expansion_tokens=True),
    "unigram-plain": lambda folder: save_plain(folder, "unigram"),
    "roberta_bpe-native": lambda folder: save_native(folder, "roberta_bpe", query_length=48),
    "roberta_bpe-pylate": lambda folder: save_pylate(folder, "roberta_bpe"),
    "roberta_bpe-plain": lambda folder: save_plain(folder, "roberta_bpe"),
    "spm_bpe-native": lambda folder: save_native(folder, "spm_bpe", expansion=_FIXED | {"length": 48}),
    "spm_bpe-pylate": lambda folder: save_pylate(folder, "spm_bpe", do_query_expansion=False, query_length=48),
    "spm_bpe-plain": lambda folder: save_plain(folder, "spm_bpe"),
    **{f"{family}-bare": lambda folder, family=family: _save_bare(folder, family) for family in FAMILIES},
}
# What the library that is installed can read: PyLate cannot read what a `MultiVectorEncoder` saved.
AVAILABLE = tuple(name for name in CHECKPOINTS if MULTI_VECTOR or not name.endswith("-native"))
# For tests to which the format does not matter.
ANY = "wordpiece-native" if MULTI_VECTOR else "wordpiece-pylate"


@cache
def checkpoint(name: str) -> Path:
    """The folder of one of `CHECKPOINTS`, made once a session; skips where the library cannot make it."""
    if name not in AVAILABLE:
        pytest.skip(f"{name} needs sentence-transformers 6")
    return CHECKPOINTS[name](Path(_FOLDER.name) / name)


@cache
def encoder(name: str) -> Encoder:
    """One of `CHECKPOINTS`, loaded once a session."""
    return load_encoder(checkpoint(name), device="cpu")


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """For a file that imports it: models this small spend their time on waking threads (50 s, not 430)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_text(rng: random.Random, words: int) -> str:
    """Words of all languages in `SENTENCES` and now and then something hostile."""
    vocabulary = [word for sentence in SENTENCES for word in sentence.split()]
    pieces = rng.choices(vocabulary, k=words) + rng.choices([text for text in HOSTILE if text], k=words // 6)
    rng.shuffle(pieces)
    return " ".join(pieces)


def seen(character: str) -> bool:
    """Whether a reader sees the character, by Python's tables: apart from how latelens decides it."""
    category = unicodedata.category(character)
    ignorable = regex.match(r"\p{Default_Ignorable_Code_Point}", character)
    return (category[0] in "LNPS" or category in ("Co", "Cn")) and not ignorable


@cache
def tokenizer_json(family: str) -> str:
    """A tokenizer of the family, trained on `SENTENCES`."""
    train = {
        "wordpiece": _wordpiece,
        "modern_bpe": _modern_bpe,
        "unigram": _unigram,
        "roberta_bpe": _roberta_bpe,
        "spm_bpe": _spm_bpe,
    }
    return train[family]().to_str()


def save_backbone(folder: Path, family: str, *, positions: int = POSITIONS, seed: int = 0) -> Path:
    """A transformers checkpoint: tokenizer, config and random weights."""
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json(family)), model_max_length=10**6, **_names(family)
    )
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": positions,
        "initializer_range": 0.3,  # 0.02 would make all token vectors alike
        "pad_token_id": tokenizer.pad_token_id,
    }
    ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    if family == "wordpiece":
        model = BertModel(BertConfig(**shape))
    elif family in ("modern_bpe", "spm_bpe"):
        ids |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        model = ModernBertModel(ModernBertConfig(**shape, **ids, global_attn_every_n_layers=2))
    elif family == "unigram":
        model = XLMRobertaModel(XLMRobertaConfig(**shape, **ids, type_vocab_size=1))
    else:
        model = RobertaModel(RobertaConfig(**shape, **ids, type_vocab_size=1))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_native(
    folder: Path,
    family: str,
    *,
    expansion: dict[str, Any] | None = None,
    query_length: int | None = None,
    document_length: int | None = 64,
    prompts: dict[str, str] | None = None,
    skiplist: str = string.punctuation,
    positions: int = POSITIONS,
    seed: int = 0,
) -> Path:
    """What `MultiVectorEncoder.save` writes."""
    if not MULTI_VECTOR:
        pytest.skip("needs sentence-transformers 6")
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    save_backbone(folder / "backbone", family, positions=positions, seed=seed)
    torch.manual_seed(seed)
    transformer = Transformer(
        str(folder / "backbone"),
        query_length=query_length,
        document_length=document_length,
        query_expansion=expansion,
    )
    modules = [
        transformer,
        Dense(HIDDEN, DIM, bias=False, activation_function=None, module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=list(skiplist)),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {"query": "[Q] ", "document": "[D] "} if prompts is None else prompts
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save(str(folder / "model"))
    return folder / "model"


def save_pylate(folder: Path, family: str, **settings: Any) -> Path:
    """What PyLate 1.x writes: its markers are added tokens, and masking and normalising are not in modules.json."""
    save_backbone(folder, family)
    markers = ["[Q] ", "[D] "]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens(markers)
    tokenizer.save_pretrained(folder)
    _grow_embeddings(folder, len(markers))
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    _write(folder / "modules.json", modules)
    saved = {
        "model_type": "ColBERT",
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": 64,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": True,
    }
    _write(folder / "config_sentence_transformers.json", saved | settings)
    dense = {"in_features": HIDDEN, "out_features": DIM, "bias": False}
    dense |= {"activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "1_Dense").mkdir()
    _write(folder / "1_Dense" / "config.json", dense)
    save_file({"linear.weight": _projection()}, folder / "1_Dense" / "model.safetensors")
    return folder


def save_stanford(folder: Path) -> Path:
    """What the ColBERT repository writes: the projection lies beside the encoder, settings in artifact.metadata."""
    save_backbone(folder, "wordpiece")
    config = json.loads((folder / "config.json").read_text())
    _write(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    weights = {f"bert.{key}": value for key, value in load_file(folder / "model.safetensors").items()}
    save_file(weights | {"linear.weight": _projection()}, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": 32,
        "doc_maxlen": 64,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "dim": DIM,
    }
    _write(folder / "artifact.metadata", settings)
    return folder


def save_plain(folder: Path, family: str) -> Path:
    """A sentence-embedding model: one mean vector for each text."""
    if MULTI_VECTOR:
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    else:
        from sentence_transformers.models import Pooling, Transformer

    save_backbone(folder / "backbone", family)
    modules = [Transformer(str(folder / "backbone"), max_seq_length=64), Pooling(HIDDEN)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return folder / "model"


def _save_bare(folder: Path, family: str) -> Path:
    """All read tokens score, and windows are short: for coverage. Saved as the installed library does."""
    if MULTI_VECTOR:
        return save_native(folder, family, document_length=24, query_length=96, skiplist="")
    settings = {"document_length": 24, "query_length": 96, "skiplist_words": [], "do_query_expansion": False}
    return save_pylate(folder, family, **settings)


def library_class() -> Any:
    """The installed library's own class of late-interaction models."""
    if MULTI_VECTOR:
        return sentence_transformers.MultiVectorEncoder
    from pylate.models import ColBERT

    return ColBERT


def library_rows(encoder: Any, texts: list[str], task: str) -> list[Any]:
    """What the installed library itself gives for texts that fit: (rows, dim) float32 for each."""
    model = encoder.model
    if MULTI_VECTOR:
        encode = model.encode_query if task == "query" else model.encode_document
        return [rows.cpu().numpy() for rows in encode(texts)]
    prompt = model.prompts.get(task) or ""
    return list(model.encode(texts, is_query=task == "query", prompt=prompt, show_progress_bar=False))


def library_scores(encoder: Any, queries: list[Any], documents: list[Any]) -> list[list[float]]:
    """What the installed library scores its own rows with."""
    if MULTI_VECTOR:
        return encoder.model.similarity(queries, documents).tolist()
    from pylate.scores import colbert_scores

    # One pair at a time: its padding is multiplied by 0, which beats a negative similarity.
    return [[float(colbert_scores(query[None], document[None])[0, 0]) for document in documents] for query in queries]


def fits(encoder: Any, task: str, text: str) -> bool:
    """Whether the installed library would cut nothing, by its own count."""
    model, transformer = encoder.model, encoder.model[0]
    length = len(model.tokenizer((model.prompts.get(task) or "") + text)["input_ids"])
    if not MULTI_VECTOR:
        prefix, limit = (
            (model.query_prefix, model.query_length)
            if task == "query"
            else (model.document_prefix, model.document_length)
        )
        return length + bool(prefix) <= limit
    expansion = transformer.query_expansion if task == "query" else None
    asked = transformer.query_length if task == "query" else transformer.document_length
    return length <= ((expansion or {}).get("length") or asked or model.max_seq_length)


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    begin, inside = _counted_pieces(tokenizer)
    vocabulary = [*_BERT_SPECIAL, *dict.fromkeys(string.printable.lower()), *begin]
    vocabulary += [f"##{piece}" for piece in dict.fromkeys([*string.printable.lower(), *inside])]
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))}
    tokenizer.model = models.WordPiece(ids, unk_token="[UNK]")
    return _frame(tokenizer, "[CLS]", "[SEP]")


def _modern_bpe() -> Tokenizer:
    tokenizer = _byte_level_bpe(_BERT_SPECIAL)
    tokenizer.normalizer = normalizers.NFC()
    return _frame(tokenizer, "[CLS]", "[SEP]")


def _roberta_bpe() -> Tokenizer:
    tokenizer = _byte_level_bpe(_ROBERTA_SPECIAL)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    # RoBERTa's own post-processor trims the space from the offsets.
    tokenizer.post_processor = processors.RobertaProcessing(*ids, trim_offsets=True, add_prefix_space=False)
    return tokenizer


def _byte_level_bpe(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet)
    )
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    begin, inside = _counted_pieces(tokenizer)
    counts = Counter(dict.fromkeys(string.printable, 1)) + begin + inside
    total = math.log(counts.total())
    scores = [(piece, math.log(count) - total) for piece, count in sorted(counts.items())]
    tokenizer.model = models.Unigram([*((token, 0.0) for token in _ROBERTA_SPECIAL), *scores], unk_id=3)
    return _frame(tokenizer, "<s>", "</s>")


def _spm_bpe() -> Tokenizer:
    """As Gemma's, Llama's and mmBERT's: characters that the vocabulary lacks fall back to their bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=_ROBERTA_SPECIAL,
        initial_alphabet=list(string.ascii_letters + string.digits + string.punctuation),
    )
    # Only some of the sentences, so that characters of the others fall back.
    tokenizer.train_from_iterator(SENTENCES[:-4], trainer)
    saved = json.loads(tokenizer.to_str())
    vocabulary = saved["model"]["vocab"]
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    return _frame(Tokenizer.from_str(json.dumps(saved)), "<s>", "</s>")


def _counted_pieces(tokenizer: Tokenizer) -> tuple[Counter[str], Counter[str]]:
    """Pieces of up to three characters that words begin with, and that follow inside; and some whole words.

    Trainers of WordPiece and Unigram break ties by chance: each process would test other tokenizers.
    """
    begin, inside = Counter[str](), Counter[str]()
    for i, sentence in enumerate(SENTENCES):
        text = tokenizer.normalizer.normalize_str(sentence)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            begin.update(word[:size] for size in (1, 2, 3, len(word) if i % 2 else 1))
            inside.update(word[at : at + size] for at in range(1, len(word)) for size in (1, 2, 3))
    return begin, inside


def _frame(tokenizer: Tokenizer, first: str, last: str) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return tokenizer


def _names(family: str) -> dict[str, str]:
    names = ["cls_token", "pad_token", "sep_token", "unk_token", "mask_token"]
    bert = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    return dict(zip(names, bert if family in ("wordpiece", "modern_bpe") else _ROBERTA_SPECIAL, strict=True))


def _projection() -> torch.Tensor:
    return torch.randn(DIM, HIDDEN, generator=torch.Generator().manual_seed(1))


def _grow_embeddings(folder: Path, extra: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    _write(folder / "config.json", config | {"vocab_size": config["vocab_size"] + extra})
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.endswith(("word_embeddings.weight", "tok_embeddings.weight")))
    added = torch.randn(extra, HIDDEN, generator=torch.Generator().manual_seed(2))
    weights[key] = torch.cat([weights[key], added])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
