"""Closed lists that tell names from ordinary capitalised words, and that relate names to one another."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# Capitalised without being part of a name, mostly because they begin a sentence.
_ORDINARY = """a an the this that these those it its he she they we you i his her their our your my one some any
all both each every no not yes in on at by to from of for with without as and or but if so then than
when while where who what which why how there here however therefore thus hence also although though
because since after before during until under over between about above below according additionally
furthermore moreover instead initially finally currently today yesterday based given overall other
others another most many more few several such same only just even still yet now later earlier early
late once twice like unlike despite except including is are was were be been being has have had do
does did can could will would shall should may might must let first second third next last old
former mr mrs ms miss dr sir lady lord dame prof professor bc ad bce ce am pm context contexts
source sources reference references note january february march april june july august september
october november december two three four five six seven eight nine ten der die das ein eine le la
les un une el los il lo o os de het een either neither none nothing tonight perhaps maybe whether
within throughout upon among across along due per via again almost often sometimes never always
around nearly together meanwhile otherwise nevertheless nonetheless besides rather unless whenever
wherever whereas people everyone someone nobody anyone everything something anything much little
less least half part sorry hello thanks please see use call run install set open click visit contact
choose select make take add create check press go ask ensure keep avoid try consider enter type send
read write get follow start stop turn put apply submit download update remove delete move copy
connect wait find remember compare answer summary conclusion"""
ORDINARY = frozenset(_ORDINARY.split())
# Words that a name may have in one text and lack in another: "New York City" is "New York".
_GENERIC = """new city state province county district town village river lake mountain mount island islands airport
university college school company corporation corp inc ltd llc plc co group band series award awards museum park
street road avenue region republic kingdom empire act law court council committee commission agency department ministry
internet church club team association organization institute foundation society tv"""
GENERIC = frozenset(_GENERIC.split())


@cache
def common_words() -> frozenset[str]:
    """Stems of words that Wikipedia's sentences write small in the middle, at least three times of four.

    Those that stand there eight times or more in the sentences of SelQA and of Fool Me Twice (22,000 questions and
    claims, Apache-2.0), none of which is measured on.
    """
    return frozenset(files(__package__).joinpath("common_words.txt").read_text(encoding="utf-8").split())


# Small words that names hold: "Church of the Holy Spirit", "Luis von Ahn".
_SMALL = "of the de du des la le del der den van von zu da di do dos bin ibn al el y e for"
SMALL = frozenset(_SMALL.split())
# A single first word with one of these endings is hardly a name: "Factors", "Interestingly", "Starting".
NO_NAME_ENDINGS = ("ly", "ing", "s", "ed", "ion", "ment", "ity", "ness")
# "President Obama" is as short as "Obama".
_TITLES = """president king queen prince princess emperor pope st captain general senator governor mayor judge justice
minister colonel major count duke bishop cardinal"""
TITLES = frozenset(_TITLES.split())
SAME = {"saint": "st", "mount": "mt", "fort": "ft"}

# In capitals, but no acronyms.
ERAS = frozenset(("BC", "BCE", "AD", "CE", "AM", "PM"))

# "Nigerian" and "Nigeria" share what is left without an ending of each list; the rest is irregular.
PEOPLE = ("n", "an", "ian", "ean", "ese", "ish", "i", "ic", "ch")
PLACES = ("", "a", "ia", "y", "any", "e", "en", "ain", "land", "al", "o", "s", "us", "ine")
_IRREGULAR = """france french frenchman frenchmen; spain spanish spaniard; netherlands dutch; greece greek; england
english englishman englishmen; switzerland swiss; denmark danish dane; poland polish pole; wales welsh; thailand
thai; philippines filipino philippine; ireland irish; portugal portuguese; turkey turkish turk; norway
norwegian; iraq iraqi; peru peruvian; china chinese; czechia czech; scotland scottish scot; belgium belgian;
argentina argentine; finland finnish finn"""
_ALIASES = """us|usa|united states|america|american; uk|united kingdom|britain|british|great britain; ussr|soviet union|
soviet; eu|european union; un|united nations; tv|television; nyc|new york city; uae|united arab emirates"""
IRREGULAR = {name.removesuffix("s"): frozenset(line.split()) for line in _IRREGULAR.split(";") for name in line.split()}
ALIASES = {
    name.strip(): tuple(map(str.strip, line.split("|"))) for line in _ALIASES.split(";") for name in line.split("|")
}
