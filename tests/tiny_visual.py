"""Tiny page encoders with random weights, in the formats that real ones come in, made offline.

The weights mean nothing; tokenizers, processors, files and geometry are real.
"""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from latelens import load_encoder

_FOLDER = tempfile.TemporaryDirectory(prefix="latelens-visual-")
DIM = 16
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"]
QWEN += ["<|image_pad|>", "<|video_pad|>"]
TILES = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
# As colpali-engine's checkpoints come in sentence-transformers' format: the template knows the task.
_QUERY = "{% for c in message['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}"
_TEMPLATE = (
    "{% for message in messages %}{% if task == 'query' %}PREFIX"
    + _QUERY
    + "{% for i in range(10) %}EXPANSION{% endfor %}\n{% else %}<|im_start|>User:"
    + "{% for c in message['content'] %}{% if c['type'] == 'image' %}IMAGE{% endif %}{% endfor %}"
    + "Describe the image.END{% endif %}{% endfor %}"
)
_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_TEXT, "vision_use_head": False}
_SIGLIP = "siglip_vision_model"


def byte_tokenizer(specials: list[str], **named: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, and some special ones."""
    vocabulary = {token: i for i, token in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    made.padding_side = "left"
    return made


def _colpali(folder: Path) -> None:
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<image>"]
    tokenizer = byte_tokenizer(specials, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    tokenizer.padding_side = "right"
    images = transformers.SiglipImageProcessorPil(
        size={"height": 112, "width": 112}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    images.image_seq_length = 64
    processor = transformers.ColPaliProcessor(
        images, tokenizer, query_prefix="Query: ", visual_prompt_prefix="Describe the image."
    )
    text = {**_TEXT, "model_type": "gemma", "vocab_size": len(processor.tokenizer), "num_key_value_heads": 1}
    text |= {"head_dim": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    config = transformers.PaliGemmaConfig(
        image_token_index=processor.image_token_id,
        image_token_id=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
        text_config=text,
        vision_config={**_VISION, "model_type": _SIGLIP, "image_size": 112, "patch_size": 14, "projection_dim": 32},
    )
    config = transformers.ColPaliConfig(vlm_config=config, embedding_dim=DIM)
    _save(folder, transformers.ColPaliForRetrieval(config), processor)


def _qwen_images(patch: int = 14) -> Any:
    side = 2 * patch
    return transformers.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * side * side, "longest_edge": 96 * side * side},
        patch_size=patch,
        merge_size=2,
        temporal_patch_size=2,
    )


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def _qwen_text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], **more.pop("rope", {})}
    known = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 2, "num_key_value_heads": 1}
    return {**_TEXT, "vocab_size": len(tokenizer), "rope_scaling": rope, **known, **more}


def _colqwen2(folder: Path) -> None:
    tokenizer = byte_tokenizer(QWEN, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 14}
    config = transformers.Qwen2VLConfig(
        **_qwen_ids(tokenizer),
        text_config=_qwen_text(tokenizer, rope={"type": "mrope"}),
        vision_config={**vision, "hidden_size": 32, "mlp_ratio": 2},
    )
    config = transformers.ColQwen2Config(vlm_config=config, embedding_dim=DIM)
    processor = transformers.ColQwen2Processor(_qwen_images(), tokenizer)
    _save(folder, transformers.ColQwen2ForRetrieval(config), processor)


def _colmodernvbert(folder: Path) -> None:
    specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "<image>", "<fake_token_around_image>"]
    specials += ["<end_of_utterance>", "<global-img>", "<|begin_of_text|>", *TILES]
    tokenizer = byte_tokenizer(specials, pad_token="[PAD]", unk_token="[UNK]")
    processor = transformers.ColModernVBertProcessor(_idefics_images(), tokenizer, image_seq_len=64)
    text = {**_TEXT, "model_type": "modernbert", "vocab_size": len(tokenizer), "max_position_embeddings": 8192}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = transformers.ModernVBertConfig(
        image_token_id=processor.image_token_id,
        pixel_shuffle_factor=2,
        text_config=text,
        vision_config={**_VISION, "model_type": _SIGLIP, "image_size": 64, "patch_size": 4},
    )
    config = transformers.ColModernVBertConfig(vlm_config=config, embedding_dim=DIM)
    _save(folder, transformers.ColModernVBertForRetrieval(config), processor)


def _idefics_images(split: bool = True) -> Any:
    return transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 256}, max_image_size={"longest_edge": 64}, do_image_splitting=split
    )


def _colidefics3(folder: Path, split: bool = True) -> None:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>"]
    specials += ["<end_of_utterance>", "<global-img>", *TILES]
    tokenizer = byte_tokenizer(
        specials, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>"
    )
    template = _template(prefix="", expansion="<end_of_utterance>", image="<image>", end="<end_of_utterance>")
    processor = transformers.Idefics3Processor(
        _idefics_images(split), tokenizer, image_seq_len=64, chat_template=template
    )
    text = {**_TEXT, "model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 1}
    config = transformers.Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=2,
        text_config={**text, "max_position_embeddings": 8192, "pad_token_id": 2},
        vision_config={**_TEXT, "image_size": 64, "patch_size": 4},
    )
    _save_own(folder, transformers.Idefics3Model(config), processor)


def _colqwen2_5(folder: Path) -> None:
    tokenizer = byte_tokenizer(QWEN, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    vision |= {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
    config = transformers.Qwen2_5_VLConfig(
        **_qwen_ids(tokenizer),
        text_config=_qwen_text(tokenizer),
        vision_config={**vision, "window_size": 56, "fullatt_block_indexes": [1]},
    )
    processor = transformers.Qwen2_5_VLProcessor(
        _qwen_images(), tokenizer, transformers.Qwen2VLVideoProcessor(), chat_template=_qwen_template()
    )
    _save_own(folder, transformers.Qwen2_5_VLModel(config), processor)


def _colqwen3(folder: Path) -> None:
    tokenizer = byte_tokenizer(QWEN, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    vision |= {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2}
    config = transformers.Qwen3VLConfig(
        **_qwen_ids(tokenizer),
        text_config=_qwen_text(tokenizer, head_dim=16, rope={"mrope_interleaved": True}),
        vision_config={**vision, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
    )
    processor = transformers.Qwen3VLProcessor(
        _qwen_images(16), tokenizer, transformers.Qwen3VLVideoProcessor(), chat_template=_qwen_template()
    )
    _save_own(folder, transformers.Qwen3VLModel(config), processor)


def _qwen_template() -> str:
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    return _template(prefix="Query: ", expansion="<|endoftext|>", image=image, end="<|im_end|><|endoftext|>")


def _template(*, prefix: str, expansion: str, image: str, end: str) -> str:
    named = {"PREFIX": prefix, "EXPANSION": expansion, "IMAGE": image, "END": end}
    template = _TEMPLATE
    for name, text in named.items():
        template = template.replace(name, text)
    return template


def _save(folder: Path, model: Any, processor: Any) -> None:
    """As transformers saves a model for retrieval."""
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)


def _save_own(folder: Path, model: Any, processor: Any) -> None:
    """As sentence-transformers saves one around a backbone."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    _save(folder / "backbone", model, processor)
    local = {"local_files_only": True}
    backbone = Transformer(str(folder / "backbone"), model_kwargs=local, processor_kwargs=local, config_kwargs=local)
    at = {"module_input_name": "token_embeddings"}
    modules = [backbone, Dense(32, DIM, activation_function=torch.nn.Identity(), **at), Normalize(**at)]
    MultiVectorEncoder(modules=[*modules, MultiVectorMask()], device="cpu").save_pretrained(str(folder / "model"))


_MAKE = {
    "colpali": _colpali,
    "colqwen2": _colqwen2,
    "colmodernvbert": _colmodernvbert,
    "colidefics3": _colidefics3,
    "colidefics3-whole": functools.partial(_colidefics3, split=False),
    "colqwen2.5": _colqwen2_5,
    "colqwen3": _colqwen3,
}
FAMILIES = tuple(_MAKE)
NATIVE = {
    "colpali": ("ColPaliForRetrieval", "ColPaliProcessor"),
    "colqwen2": ("ColQwen2ForRetrieval", "ColQwen2Processor"),
    "colmodernvbert": ("ColModernVBertForRetrieval", "ColModernVBertProcessor"),
}


@functools.cache
def checkpoint(family: str) -> Path:
    """The folder of a family's checkpoint, made once a session; skips where the family does not install."""
    if family in ("colqwen2.5", "colqwen3") and importlib.util.find_spec("torchvision") is None:
        pytest.skip(f"{family}'s processor demands torchvision")
    folder = Path(_FOLDER.name) / family
    torch.manual_seed(0)
    _MAKE[family](folder)
    return folder / "model" if (folder / "model").is_dir() else folder


@functools.cache
def visual(family: str, *, attention: bool = True) -> Any:
    """A family's encoder, loaded once a session; without `attention` every row sees its own patch alone."""
    encoder = load_encoder(checkpoint(family), device="cpu")
    for name, weights in encoder.model.named_parameters() if not attention else ():
        module, kind = name.split(".")[-2], name.rpartition(".")[0]
        mixes = module in ("o_proj", "out_proj", "Wo") or (module == "proj" and "attn" in kind)
        with torch.no_grad():
            if mixes and "patch_embed" not in name:
                weights.zero_()
            elif module in ("embed_tokens", "tok_embeddings"):  # the row of padding is zero, and has no direction
                weights[(weights == 0).all(dim=1)] = 0.02
    return encoder
