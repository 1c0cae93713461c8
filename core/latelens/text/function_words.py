"""Words that hold a sentence together and say nothing on their own: a closed list for each language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from latelens.refusals import check_is, check_texts
from latelens.text.characters import words

_LISTS = {
    "en": """a am an and any are as at be been being but by can could did do does doing for from had has have having he
        her here him his how i if in into is it its may me might must my not of on or our shall she should so than that
        the their them then there these they this those to us was we were what when where which while who whom whose
        why will with would you your""",
    "de": """aber als am an auch auf aus bei das dem den der des die dieser du ein eine einem einen einer eines er es
        für haben hat ich ihr im in ist kann mit nach nicht oder sein sich sie sind und von wann war was welche welcher
        wenn wer werden wie wird wir wo wurde zu zum zur""",
    "fr": """à au aux avec ce ces cette combien comment dans de des du elle en est et eux fait il ils je la le les leur
        lui ne nous on ont ou où par pas pour qu quand que quel quelle quels qui sa se ses son sont sur un une vous
        y""",
    "es": """al como con cómo cuál cuándo cuánto de del donde dónde e el ella ellos en es esta este fue ha hay la las
        lo los no o para pero por que qué quién se son su sus un una y yo""",
    "it": """a al alla che chi come con cosa da dal dei del della di dove e è gli ha i il in io la le lo ma nel non o
        per perché quale quando quanto si sono su un una""",
    "pt": """a ao as com como da das de do dos e é ela ele em está foi há mais mas na no nos não o onde os ou para
        pela pelo por qual quando quanto que quem se são sua um uma""",
    "nl": """aan al als bij dat de deze die dit door een en er het hij hoe ik in is je maar met naar niet of om ook op
        te van voor waar wanneer was wat we welke werd wie wordt ze zijn""",
}
_FUNCTION_WORDS = {language: frozenset(line.split()) for language, line in _LISTS.items()}


def content_words(some: Sequence[str], query: str) -> tuple[str, ...]:
    """Those of a query's words that say something on their own, in their order; none may be left.

    The query tells the language: English, German, French, Spanish, Italian, Portuguese or Dutch. Words of other
    languages all count.

    >>> content_words(["How", "often", "the", "be", "replaced"], "How often should the filter be replaced?")
    ('often', 'replaced')
    """
    check_texts("some", some)
    check_is("query", query, str, "a str")
    small = _small_words(query)
    return tuple(word for word in some if word.casefold() not in small)


@lru_cache(maxsize=64)
def _small_words(query: str) -> frozenset[str]:
    """The function words of the language that the query uses most of; English where several are used alike."""
    asked = [query[start:end].casefold() for start, end in words(query).tolist()]
    return max(_FUNCTION_WORDS.values(), key=lambda small: sum(word in small for word in asked))
