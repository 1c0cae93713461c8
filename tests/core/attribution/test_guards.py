"""What a claim says in figures, dates, names and negators must stand in the text cited for it."""

from __future__ import annotations

import json
import time
from itertools import count
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.attribution.guards import Missing, check, missing
from latelens.text.sentences import split_sentences


def kinds(claim: str, *evidence: str) -> set[str]:
    return {part.kind for part in missing(claim, evidence)}


BORNE_NUMBERS = {
    "thousands with a comma": ("It has 1,000 seats.", "There are 1000 seats."),
    "thousands with a thin space": ("It has 1000 seats.", "There are 1\u2009000 seats."),
    "thousands with a space that does not break": ("It has 1000 seats.", "There are 1\u00a0000 seats."),
    "thousands with a space": ("It has 1 000 000 seats.", "There are 1,000,000 seats."),
    "thousands with a point": ("It has 1.000 seats.", "There are 1,000 seats."),
    "thousands with an apostrophe": ("It has 1’000 seats.", "There are 1,000 seats."),
    "indian groups": ("It has 12,34,567 seats.", "There are 1234567 seats."),
    "words": ("It has one thousand seats.", "There are 1,000 seats."),
    "words that add up": ("It has 2,345 seats.", "There are two thousand three hundred and forty-five seats."),
    "a hundred": ("It has 100 seats.", "There are a hundred seats."),
    "a half in words": ("It is 6.5 m long.", "It is six and a half metres long."),
    "a half in one character": ("It is 6.5 m long.", "It is 6½ metres long."),
    "decimal comma": ("It is 3,5 long.", "It is 3.5 long."),
    "decimals with zeros": ("It is 3.50 long.", "It is 3.5 long."),
    "decimals and groups": ("It cost 1.234,50.", "It cost 1,234.5."),
    "per cent": ("It lost 7 percent.", "It lost 7%."),
    "per cent in words": ("It lost 7 %.", "It lost seven per cent."),
    "ordinal": ("The 5th gate.", "The fifth gate."),
    "ordinal as a number": ("Gate 5 opened.", "The fifth gate opened."),
    "million": ("It sold 2 million.", "It sold 2,000,000."),
    "million as words": ("It sold two million.", "It sold 2 million."),
    "million of money": ("It cost $2m.", "It cost 2 million dollars."),
    "german million": ("Es kostete 2 Millionen Euro.", "Es kostete 2.000.000 Euro."),
    "thousands with k": ("It has 5k users.", "It has 5,000 users."),
    "billions with B": ("It earned $3.2 billion.", "It earned $3.2B."),
    "people with m": ("It has 330m people.", "It has 330 million people."),
    "kilometres per hour": ("It does 25 km per hour.", "It does 25 km/h."),
    "square kilometres": ("It covers 25 square kilometres.", "It covers 25 km²."),
    "power of ten": ("It has 3 × 10⁶ cells.", "It has 3,000,000 cells."),
    "range": ("They live 10-12 years.", "They live 10 to 12 years."),
    "range with a dash": ("They live 10–12 years.", "They live between 10 and 12 years."),
    "range of millions": ("Between 7 million and 8 million died.", "Some 7 to 8 million died."),
    "dollars before and after": ("It cost 5 dollars.", "It cost $5."),
    "code of a currency": ("It cost 5 USD.", "It cost $5."),
    "euros": ("It cost 5 €.", "It cost EUR 5."),
    "metric units": ("It runs 1.5 km.", "It runs 1500 m."),
    "months and years": ("It took 24 months.", "It took two years."),
    "a unit on one side only": ("It weighs 150 kg.", "It weighs 150."),
    "hyphenated unit": ("A 24-hour race.", "A race of 24 hours."),
    "arabic digits": ("It has 45 seats.", "٤٥ seats."),
    "fullwidth digits": ("It has 45 seats.", "４５ seats."),
    "minus sign": ("It fell to -5 °C.", "It fell to −5 °C."),
    "both": ("The two brothers came.", "Both brothers came."),
    "half": ("50% came.", "Half of them came."),
    "roman numeral": ("He fought in World War 2.", "He fought in World War II."),
    "number inside a name": ("The 19 in its name.", "COVID-19 has it in its name."),
    "about, rounded": ("It weighs about 150 kg.", "It weighs 148 kg."),
    "over, rounded down": ("It sold over 2.7 million.", "It sold 2,775,354."),
    "nearly, rounded up": ("It sold nearly 2.8 million.", "It sold 2,775,354."),
    "version": ("It came with 3.10.2.", "Version 3.10.2 has it."),
    "mark of a citation": ("Elephants eat grass [12].", "Elephants eat grass."),
    "several marks": ("Elephants eat grass [1, 2][3].", "Elephants eat grass."),
    "mark of a chat": ("Elephants eat grass【4†source】.", "Elephants eat grass."),
    "contexts by number": ("Elephants eat grass (contexts 1 and 2).", "Elephants eat grass."),
    "number of a list item": ("2. Elephants eat grass", "Elephants eat grass."),
    "full hour": ("It opens at 10:00.", "It opens at 10 am."),
    "full hour in words": ("It opens at 10:00.", "It opens at ten."),
    "o'clock": ("It opens at 10:00.", "It opens at ten o’clock."),
    "bare hour": ("It opens at ten.", "It opens at 10:00."),
    "afternoon": ("It opens at 15:00.", "It opens at 3 p.m."),
    "afternoon in words": ("It opens at 3pm.", "It opens at three o'clock."),
    "bare hour of the afternoon": ("It opens at 15:00.", "It opens at 3."),
    "noon": ("It opens at 12:00.", "It opens at noon."),
    "bare noon": ("It opens at 12.", "It opens at noon."),
    "midnight": ("It opens at 0:00.", "It opens at midnight."),
    "half past": ("It opens at 9:30.", "It opens at half past nine."),
    "quarter to": ("It opens at 9:45 am.", "It opens at a quarter to ten."),
    "point in a time": ("It opens at 9:30.", "It opens at 9.30 am."),
    "range of times": ("It opens at 9 am and closes at 21:30.", "Open 09:00-9:30 pm."),
    "one of": ("It is one of the oldest.", "It is very old."),
    "first aired": ("It first aired there.", "It aired there."),
    "of what the claim lists": ("The three kinds are A, B, and C.", "There are A, B and C."),
    "third, as a step": ("Third, it has seats. Second, it is old.", "It is old and has seats."),
    "another script in one number": ("It has 1000 seats.", "१००० seats."),
}
MISSING_NUMBERS = {
    "not of what the claim lists": (
        "The four kinds are A, B, and C.",
        "There are A, B and C.",
        "number four not in the evidence",
    ),
    "of people, not of what befell them": (
        "Two men were killed and hurt.",
        "Men were killed and hurt.",
        "number Two not in the evidence",
    ),
    "another number": ("It weighs 150 kg.", "It weighs 100 kg.", "number 150 kg not in the evidence"),
    "another unit": ("It is 150 km off.", "It weighs 150 kg.", "number 150 km not in the evidence"),
    "not converted inexactly": ("It weighs 330 pounds.", "It weighs 150 kg.", "number 330 pounds not in the evidence"),
    "speed is no length": ("It does 25 km/h.", "It goes 25 km.", "number 25 km/h not in the evidence"),
    "another currency": ("It cost 5 €.", "It cost $5.", "number 5 € not in the evidence"),
    "sign": ("It fell to -5 °C.", "It fell to 5 °C.", "number -5 °C not in the evidence"),
    "words": ("It has three eyes.", "It has two eyes.", "number three not in the evidence"),
    "million": ("It sold 3 million.", "It sold 3 thousand.", "number 3 million not in the evidence"),
    "percent": ("It lost 8 per cent.", "It lost 7%.", "number 8 per cent not in the evidence"),
    "end of a range": ("They live 10-13 years.", "They live 10-12 years.", "number 13 years not in the evidence"),
    "ordinal": ("The 6th gate.", "The fifth gate.", "number 6th not in the evidence"),
    "decimals": ("It is 3.6 long.", "It is 3.5 long.", "number 3.6 not in the evidence"),
    "about, too far": ("It weighs about 150 kg.", "It weighs 140 kg.", "number 150 kg not in the evidence"),
    "about, but as exact": ("It has around 10,254 parks.", "It has 10,234 parks.", "number 10,254 not in the evidence"),
    "rounded without saying so": ("It weighs 150 kg.", "It weighs 148 kg.", "number 150 kg not in the evidence"),
    "over, but less": ("It sold over 2.8 million.", "It sold 2,775,354.", "number 2.8 million not in the evidence"),
    "half of a million": ("It sold 2,500.", "It sold 2.5 million.", "number 2,500 not in the evidence"),
    "one of two numbers": ("In 3 or 5 cases.", "In 3 cases.", "number 5 not in the evidence"),
    "fullwidth": ("It has ４６ seats.", "It has 45 seats.", "number ４６ not in the evidence"),
    "version": ("It came with 3.10.2.", "Version 3.1.02 has 10.", "number 3.10.2 not in the evidence"),
    "hour": ("It opens at 10:00.", "It opens at 11 am.", "number 10:00 not in the evidence"),
    "minutes": ("It opens at 10:30.", "It opens at 10:00.", "number 10:30 not in the evidence"),
    "minutes and a bare hour": ("It opens at 10:30.", "It opens at ten.", "number 10:30 not in the evidence"),
    "half of the day": ("It opens at 3 am.", "It opens at 3 pm.", "number 3 am not in the evidence"),
    "hour of the day": ("It opens at 16:00.", "It opens at 3 pm.", "number 16:00 not in the evidence"),
    "not noon": ("It opens at 11:00.", "It opens at noon.", "number 11:00 not in the evidence"),
    "noon": ("It opens at noon.", "It opens at ten.", "number noon not in the evidence"),
    "noon is not midnight": ("It opens at 12:00.", "It opens at midnight.", "number 12:00 not in the evidence"),
    "half past": ("Half past nine it opens.", "It opens at 9:00.", "number Half past nine not in the evidence"),
    "time is no money": ("It opens at 10:00.", "It costs 10 euros.", "number 10:00 not in the evidence"),
    "money": ("It cost $2m.", "It cost $3m.", "number $2m not in the evidence"),
}


@pytest.mark.parametrize(("claim", "evidence"), BORNE_NUMBERS.values(), ids=BORNE_NUMBERS)
def test_a_number_is_borne_in_whatever_form_it_is_written(claim, evidence):
    assert check(claim, [evidence]) == ()


@pytest.mark.parametrize(("claim", "evidence", "reason"), MISSING_NUMBERS.values(), ids=MISSING_NUMBERS)
def test_a_number_that_the_evidence_lacks_is_named(claim, evidence, reason):
    assert check(claim, [evidence]) == (reason,)


BORNE_DATES = {
    "day first": ("It opened on 5 May 1994.", "It opened on May 5, 1994."),
    "ordinal day": ("It opened on the 5th of May, 1994.", "It opened on May 5th 1994."),
    "iso": ("It opened on 5 May 1994.", "It opened on 1994-05-05."),
    "european": ("It opened on 15 May 1994.", "Opened: 15.5.1994"),
    "american": ("It opened on 15 May 1994.", "Opened: 5/15/94"),
    "either reading": ("It opened on 05/06/1994.", "It opened on 5 June 1994."),
    "abbreviated month": ("It opened on 5 Sept. 1994.", "It opened on September 5, 1994."),
    "hyphens": ("It opened on 5-May-1994.", "It opened on May 5, 1994."),
    "german": ("Es öffnete am 5. März 1994.", "Es öffnete am 05.03.1994."),
    "french": ("Il ouvrit le 1er août 1994.", "Il ouvrit le 01/08/1994."),
    "spanish": ("Se abrió el 5 de mayo de 1994.", "Se abrió el 5/5/1994."),
    "year alone": ("It opened in 1994.", "It opened on 5 May 1994."),
    "month and year": ("It opened in May 1994.", "It opened on 5 May 1994."),
    "month alone": ("It opened in May.", "It opened on 5 May 1994."),
    "day and month": ("It opened on 5 May.", "It opened on 5 May 1994."),
    "year apart": ("It opened on 5 May 1994.", "In 1994 all was ready; it opened on 5 May."),
    "decade": ("It opened in the 1990s.", "It opened in 1994."),
    "decade in short": ("It opened in the '90s.", "It opened in the 1990s."),
    "seconds are no decade": ("It took 10s.", "It took 10 seconds."),
    "decade by name": ("It opened in the nineties.", "It opened in the 1990s."),
    "century": ("It opened in the 18th century.", "It opened in 1755."),
    "century as word": ("It opened in the eighteenth century.", "It opened in the 18th century."),
    "two centuries": ("In the 18th and 19th centuries.", "From the 18th century to the 19th century."),
    "years of a range": ("It lasted until 1995.", "It lasted 1990–95."),
    "season": ("The season of 1999-00.", "The season from 1999 to 2000."),
    "before christ": ("It fell in 44 BC.", "It fell in 44 BCE."),
    "range before christ": ("It lasted from 181 to 179 BC.", "It lasted 181–179 BC."),
    "letters after a number": ("It took 5 BCG tests.", "They made 5 BCG tests."),
    "year without a word before it": ("The 2009 poll.", "A poll of May 2009."),
    "year first with points": ("It opened on 11 June 2003.", "Opened: 2003.06.11"),
    "year first with strokes": ("It opened on 11 June 2003.", "Opened: 2003/6/11"),
    "digits alone": ("It opened on 11 June 2003.", "archive/20030611"),
    "glued day": ("It opened on 11 June 2003.", "11June2003"),
    "glued month": ("It opened on 11 June 2003.", "June11,2003 by Rao"),
    "glued to what follows": ("It opened on 11 June 2003.", "June 11, 2003Updated at noon"),
    "no space after the comma": ("It opened on 11 June 2003.", "It opened on June 11,2003."),
}
MISSING_DATES = {
    "day": ("It opened on 6 May 1994.", "It opened on 5 May 1994.", "date 6 May 1994 not in the evidence"),
    "month": ("It opened on 5 June 1994.", "It opened on 5 May 1994.", "date 5 June 1994 not in the evidence"),
    "year": ("It opened on 5 May 1995.", "It opened on 5 May 1994.", "date 5 May 1995 not in the evidence"),
    "year alone": ("It opened in 1995.", "It opened on 5 May 1994.", "date 1995 not in the evidence"),
    "more exact": ("It opened on 5 May 1994.", "It opened in 1994.", "date 5 May 1994 not in the evidence"),
    "month more exact": ("It opened in May 1994.", "It opened in 1994.", "date May 1994 not in the evidence"),
    "year from a decade": ("It opened in 1994.", "It opened in the 1990s.", "date 1994 not in the evidence"),
    "decade": ("It opened in the 1980s.", "It opened in 1994.", "date 1980s not in the evidence"),
    "century": ("It opened in the 19th century.", "It opened in 1755.", "date 19th century not in the evidence"),
    "era": ("It fell in 44 BC.", "It fell in AD 44.", "date 44 not in the evidence"),
    "iso": ("It opened on 1994-05-06.", "It opened on 5 May 1994.", "date 1994-05-06 not in the evidence"),
    "neither reading": ("It opened on 05/06/1994.", "It opened on 5 July 1994.", "date 05/06/1994 not in the evidence"),
    "american form": ("It opened on May 6, 1994.", "It opened on 5 May 1994.", "date May 6, 1994 not in the evidence"),
}


@pytest.mark.parametrize(("claim", "evidence"), BORNE_DATES.values(), ids=BORNE_DATES)
def test_a_date_is_borne_by_one_that_says_as_much(claim, evidence):
    assert check(claim, [evidence]) == ()


@pytest.mark.parametrize(("claim", "evidence", "reason"), MISSING_DATES.values(), ids=MISSING_DATES)
def test_a_date_that_says_more_or_else_is_named(claim, evidence, reason):
    assert check(claim, [evidence]) == (reason,)


def test_may_is_a_month_only_where_it_is_one():
    assert check("Rule 5 may apply.", ["Rule 5 applies."]) == ()
    assert kinds("It opened in May.", "It opened in June.") == {"date"}


BORNE_NAMES = {
    "whole": ("It was Ada Lovelace.", "Ada Lovelace did."),
    "lower case": ("He took the Autobahn.", "He took the autobahn."),
    "diacritics": ("It was José Martí.", "Jose Marti did."),
    "letters without a decomposition": ("It was Søren Łukasz.", "Soren Lukasz did."),
    "surname alone": ("The actor Drake Hogestyn came.", "Hogestyn came."),
    "surname with a title": ("Then Barack Obama spoke.", "Then President Obama spoke."),
    "surname with an initial": ("Then John Smith spoke.", "Then J. Smith spoke."),
    "initials in the claim": ("It was J. K. Rowling.", "Joanne Rowling did."),
    "initials without spaces": ("It was J.K. Rowling.", "J. K. Rowling did."),
    "reversed": ("It was Ada Lovelace.", "Lovelace, Ada"),
    "possessive": ("We saw Oricon's poll.", "The poll of Oricon."),
    "plural": ("The Germans came.", "A German came."),
    "acronym of the evidence's name": ("The UN came.", "The United Nations came."),
    "acronym with small words": ("The FBI came.", "The Federal Bureau of Investigation came."),
    "acronym of lower case": ("They have PAHs.", "They have polycyclic aromatic hydrocarbons."),
    "expansion of the evidence's acronym": ("The International Monetary Fund paid.", "The IMF paid."),
    "alias": ("He lives in the United States.", "He lives in the US."),
    "alias with points": ("He lives in the U.S.", "He lives in the United States."),
    "people of a place": ("He met the Argentine.", "He came from Argentina."),
    "place of a people": ("He lived in France.", "He lived in a French town."),
    "roman numeral": ("It was World War II.", "It was the Second World War."),
    "first word of a sentence": ("Interestingly, factors differ.", "They differ."),
    "plural first word of a sentence": ("Elephants sleep.", "They sleep."),
    "after a stop": ("He slept. Then came rain.", "He slept; rain came."),
    "weekday and month": ("It was in June.", "It was in June."),
    "letters and digits": ("The F-16 flew.", "An F16 flew."),
    "saint": ("It is in Saint Helens.", "It is in St. Helens."),
    "thousands with k": ("It has 10K users.", "It has 10,000 users."),
    "label in bold": ("**Daily Food Intake:** 150 kg", "It eats 150 kg a day."),
    "cell of a table": ("| Weight | 150 kg |", "It weighs 150 kg."),
    "all in capitals": ("DO NOT TOUCH THE WIRE", "You must not touch the wire."),
    "order at the start": ("Use Python for it.", "It requires Python."),
    "bold first word": ("**Leaves** fall.", "They fall."),
    "common first word": ("Data show it.", "It is shown."),
    "common adjective at the start": ("High prices rose. Gather them.", "They rose."),
    "more than the evidence says": ("He lives in New York City.", "He lives in New York."),
    "less than the evidence says": ("He works for Acme.", "He works for the Acme Corporation."),
    "generic word alone": ("The Act passed.", "It passed."),
    "written as one": ("It stood in TechCrunch.", "It stood in Tech Crunch."),
    "written as two": ("It stood in Tech Crunch.", "It stood in TechCrunch."),
    "a letter less": ("It was Bismark.", "It was Otto von Bismarck."),
    "a letter more": ("It was Muawiyah.", "It was Muawiya ibn Abi Sufyan."),
    "television": ("It was seen on TV.", "It was seen."),
    "acronym explained by the claim": ("He has gastric reflux disease (GERD).", "He has gastric reflux disease."),
    "question word with a quote": ("He asked 'What's in it'.", "He asked it."),
}
MISSING_NAMES = {
    "another": ("It was Ada Lovelace.", "It was Alan Turing.", "Ada Lovelace"),
    "another first name": ("It was Mary Smith.", "It was John Smith.", "Mary Smith"),
    "another surname": ("It was John Brown.", "It was John Smith.", "John Brown"),
    "with small words": ("It was Luis von Ahn.", "It was Luis Miguel.", "Luis von Ahn"),
    "one word in the middle": ("It is in Cambodia.", "It is in Inglewood.", "Cambodia"),
    "one word at the start": ("Joyce went home.", "Wilson went home.", "Joyce"),
    "acronym": ("It was the FBI.", "It was the CIA.", "FBI"),
    "acronym at the start": ("NASA flew.", "The agency ESA flew.", "NASA"),
    "two letters are not found by chance": ("The EU came.", "Every uncle came.", "EU"),
    "a pronoun is no country": ("He lives in the US.", "He told us.", "US"),
    "letters and digits": ("The F-18 flew.", "The F-16 flew.", "F-18"),
    "names with digits": ("He had COVID-19.", "He had COVID-20.", "COVID-19"),
    "places that look alike": ("He lived in Austria.", "He lived in Australia.", "Austria"),
    "place of another people": ("He lived in Spain.", "He lived in a French town.", "Spain"),
    "diacritics in the claim": ("It was José.", "It was Pedro.", "José"),
    "greek": ("Τον είδε ο Σωκράτης.", "Τον είδε ο Πλάτων.", "Σωκράτης"),
    "russian": ("Это был Пушкин.", "Это был Гоголь.", "Пушкин"),
    "german row": ("Er sah die Deutsche Bahn.", "Er sah die Post, und sie war nicht groß.", "Deutsche Bahn"),
    "after a label": ("**Discovery:** made by Ada Lovelace", "It was made by Alan Turing.", "Ada Lovelace"),
    "names in a table": ("| Ada Lovelace | 3 |", "Alan Turing has 3.", "Ada Lovelace"),
    "in bold": ("It was **Ada Lovelace**.", "It was Alan Turing.", "Ada Lovelace"),
    "weekday": ("It was on a Monday.", "It was on a Tuesday.", "Monday"),
    "another letter": ("It is in Homburg.", "It is in Hamburg.", "Homburg"),
    "a letter less of a short name": ("It was Brown.", "It was Browne.", "Brown"),
    "another new place": ("It is in New York City.", "It is in New Jersey City.", "New York City"),
}


@pytest.mark.parametrize(("claim", "evidence"), BORNE_NAMES.values(), ids=BORNE_NAMES)
def test_a_name_is_borne_by_its_other_forms(claim, evidence):
    assert check(claim, [evidence]) == ()


@pytest.mark.parametrize(("claim", "evidence", "name"), MISSING_NAMES.values(), ids=MISSING_NAMES)
def test_a_name_that_the_evidence_lacks_is_named(claim, evidence, name):
    assert check(claim, [evidence]) == (f"name {name!r} not in the evidence",)


def test_languages_without_case_have_no_names():
    assert check("東京は日本の首都です。", ["大阪は大きい。"]) == ()
    assert check("القاهرة عاصمة مصر.", ["دمشق كبيرة."]) == ()


def test_a_german_noun_is_no_name():
    assert check("Er hat das Haus und den Garten gesehen.", ["Er war nicht da."]) == ()


def test_a_date_may_stand_in_the_context():
    cited, context = ["The bridge opened."], ["By A. Rao, 5 May 1994. The bridge opened.", "Year: 1843. 1,500 seats."]
    assert check("The bridge opened on 5 May 1994.", cited, context=context) == ()
    assert check("The bridge opened in 1843.", cited, context=context) == ()
    assert check("The bridge opened on 6 May 1994.", cited, context=context) == ("date 6 May 1994 not in the evidence",)
    assert check("The bridge has 1,500 seats.", cited, context=context) == ("number 1,500 not in the evidence",)


def test_what_the_user_said_need_not_stand_in_the_evidence():
    claim, cited = "In 1994 Ada Lovelace had 3 cats.", ["She had cats."]
    assert len(check(claim, cited)) == 3
    assert check(claim, cited, question="How many cats had Ada Lovelace in 1994? Was it 3?") == ()
    assert check("She had no cats.", cited, question="Had she no cats?") != ()


def test_a_name_may_stand_in_the_context_but_a_number_may_not():
    cited, context = ["He was born in 1953."], ["Drake Hogestyn is an actor with 2 cats. He was born in 1953."]
    assert check("The actor Drake Hogestyn was born in 1953.", cited, context=context) == ()
    assert check("The actor Drake Hogestyn was born in 1953.", cited) == ("name 'Drake Hogestyn' not in the evidence",)
    assert check("He has 2 cats.", cited, context=context) == ("number 2 not in the evidence",)


SAME_POLARITY = {
    "both deny": ("The whale is not a fish.", "A whale is not a fish."),
    "other negator": ("The whale isn't a fish.", "The whale is no fish."),
    "curly apostrophe": ("The whale isn’t a fish.", "The whale is not a fish."),
    "never": ("He never won a medal.", "He did not win any medal."),
    "without": ("The bread has no salt.", "This bread is baked without salt."),
    "failed": ("He did not finish the race.", "He failed to finish the race."),
    "prefix in the evidence": ("The author is not known.", "The author is unknown."),
    "harmless on one side": ("There is no evidence that cats bark.", "They found no link between cats and barks."),
    "prefix in the claim": ("The author is unknown.", "The author is not known."),
    "a negator elsewhere in the sentence": (
        "The bridge was built in 1930 by Rao.",
        "The bridge, which does not carry trains any more, was built by Rao in 1930.",
    ),
    "a negator in another sentence": ("The bridge was built by Rao.", "The bridge was built by Rao. It is not long."),
    "what another clause denies": (
        "The key of C is played on white keys.",
        "The key of C has no sharps or flats, and is played on white keys.",
    ),
    "not only": ("The school serves children and adults.", "The school serves not only children but adults."),
    "no longer than": ("The talk was no longer than an hour.", "The talk took an hour."),
    "answer": ("No, the school serves adults.", "The school serves adults."),
    "number sign": ("He wore shirt No. 5.", "He wore shirt number 5."),
    "what the source leaves out": ("The price of the bridge is not mentioned.", "The bridge had a high price."),
    "what the context leaves out": ("The context does not say who built the bridge.", "Rao built the bridge."),
    "nothing shared": ("Cats do not bark.", "The bridge was built by Rao."),
    "german": ("Der Wal ist nicht der größte Fisch.", "Der Wal ist kein Fisch, auch nicht der größte."),
}
OTHER_POLARITY = {
    "claim denies": ("The whale is not a fish.", "The whale is a fish.", "not", True),
    "claim contracts": ("The whale isn't a fish.", "The whale is a fish.", "isn't", True),
    "never": ("He never won the medal.", "He won the medal in 1930.", "never", True),
    "cannot": ("Cats cannot see ultraviolet light.", "Cats can see ultraviolet light.", "cannot", True),
    "evidence denies": ("The whale is a fish.", "The whale is not a fish.", "fish", False),
    "other form of the verb": ("You can cancel it.", "It can't be cancelled.", "cancel", False),
    "evidence never": ("He won the medal in 1930.", "He never won the medal.", "won", False),
    "a negator elsewhere hides nothing": (
        "The bridge was not built by Rao.",
        "The bridge was built by Rao. The tunnel was not.",
        "not",
        True,
    ),
    "a negator elsewhere in the sentence hides nothing": (
        "The old stone bridge over the river was not built by Rao in 1930.",
        "The old stone bridge over the river was built by Rao in 1930, and to this day it does not carry any trains.",
        "not",
        True,
    ),
    "german": ("Der Wal ist nicht ein Fisch.", "Der Wal ist ein Fisch.", "nicht", True),
    "french": ("La baleine n'est pas un poisson.", "La baleine est un poisson.", "pas", True),
    "spanish": ("La ballena no es un pez.", "La ballena es un pez.", "no", True),
    "italian": ("La balena non è un pesce.", "La balena è un pesce.", "non", True),
    "portuguese": ("A baleia não é um peixe.", "A baleia é um peixe.", "não", True),
    "dutch": ("De walvis is niet een vis.", "De walvis is een vis.", "niet", True),
}


@pytest.mark.parametrize(("claim", "evidence"), SAME_POLARITY.values(), ids=SAME_POLARITY)
def test_negation_is_compared_in_its_own_place(claim, evidence):
    assert "negation" not in kinds(claim, evidence)


@pytest.mark.parametrize(("claim", "evidence", "word", "denies"), OTHER_POLARITY.values(), ids=OTHER_POLARITY)
def test_a_changed_negation_is_named(claim, evidence, word, denies):
    found = [part for part in missing(claim, [evidence]) if part.kind == "negation"]
    assert [(part.text, part.denies) for part in found] == [(word, denies)]


def test_the_reasons_say_which_side_denies():
    assert check("The whale is not a fish.", ["The whale is a fish."]) == (
        "negation 'not' not in the evidence: the claim denies what the evidence states",
    )
    assert check("The whale is a fish.", ["The whale is not a fish."]) == (
        "negation of 'fish' only in the evidence: the claim states what the evidence denies",
    )


def test_parts_come_in_the_claims_order_with_their_places():
    claim = "On 6 May 1994 Ada Lovelace ate 150 kg; it was not cake."
    found = missing(claim, ["On 5 May 1994 Alan Turing ate 100 kg; it was cake."])
    assert [part.kind for part in found] == ["date", "name", "number", "negation"]
    assert [claim[part.start : part.end] for part in found] == ["6 May 1994", "Ada Lovelace", "150 kg", "not"]
    assert found[0] == Missing("date", "6 May 1994", 3, 13)


def test_one_reason_is_given_once():
    assert check("Either 7 cats or 7 dogs.", ["Cats and dogs."]) == ("number 7 not in the evidence",)


def test_each_number_may_stand_in_another_cited_text():
    assert check("It has 3 cats and 4 dogs.", ["It has 3 cats.", "It has 4 dogs."]) == ()


def test_empty_texts_have_nothing_to_flag():
    assert check("", ["It has 3 cats."]) == check("", []) == check("   ", [""]) == ()


def test_without_evidence_everything_exact_is_missing():
    assert {part.kind for part in missing("Then Ada ate 3 cakes in May 1994.", [])} == {"name", "number", "date"}


def test_endless_numbers_cost_nothing():
    digits = "123456789" * 600
    for text in (digits, f"about {digits[:290]}", f"about {digits} kg", "2 × 10⁹⁹⁹⁹⁹⁹⁹⁹⁹", "1," * 3000, "1 000" * 900):
        begin = time.thread_time()
        assert check(text, [text]) == ()
        check(text, ["about 7 cats"])
        assert time.thread_time() - begin < 1


@pytest.mark.parametrize("arguments", [{"cited": "a text"}, {"cited": [], "context": "a text"}])
def test_one_text_in_place_of_several_is_refused(arguments):
    with pytest.raises(TypeError, match="must be a sequence of texts"):
        check("It is.", **arguments)


def test_an_opposite_is_beyond_the_guards():
    """Only what is written is compared: a model must tell this."""
    assert check("The price fell.", ["The price rose."]) == ()


PIECES = [
    "10:00", "3 pm", "half past nine", "noon", "24:00", "ten o'clock", "0:00", "9.30 a.m.",
    "In 1994", "5 May 1994", "1994-05-06", "05/06/94", "1,000", "1\u202f000", "3,5 kg", "-5 °C", "½", "٣",
    "４５", "²", "10⁶",
    "1.2.3", "1,2,3", "$5m", "the 1990s", "the 18th century", "44 BC", "F-16", "Ada Lovelace", "U.S.",
    "Dr. Rao", "Jean-Luc",
    "is not", "isn't", "never", "No, it", "kein", "n'est pas", "[1]", "【4†x】", "(2)", ".", "!", "\n", "- ",
    "“", "’s", "ß", "ﬁ",
    "İ", "ǅ", "e\u0301", "ﾞ", "각", "東京", "القاهرة", "😀", "\u200d", "\ud800", "\x00", "twenty-one",
    "two hundred and five",
    "about 150", "7 to 8 million", "may", "May", "percent", "US", "of the", "and", "in", "1e5", "0", "00",
    "1/2", "3D", "x" * 50,
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=12).map(" ".join)


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_a_claim_bears_itself(text):
    assert check(text, [text]) == ()


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_every_part_is_a_piece_of_the_claim_and_the_same_each_time(claim, evidence):
    found = missing(claim, evidence)
    assert all(part.text == claim[part.start : part.end] and part.text for part in found)
    assert found == missing(claim, evidence) == tuple(sorted(found, key=lambda part: (part.start, part.end)))


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_more_evidence_never_makes_a_number_date_or_name_missing(claim, more):
    exact = ("number", "date", "name")
    assert not [part for part in missing(claim, [claim, more]) if part.kind in exact]


def _claims(shared_data) -> list[tuple[str, list[str]]]:
    folder = shared_data / "hagrid_attributionbench" / "norm"
    texts = {line["id"]: line["text"] for name in ("corpus", "queries") for line in _lines(folder / f"{name}.jsonl")}
    return [(texts[pair["qid"]], [texts[id] for id in pair["docids"]]) for pair in _lines(folder / "pairs.jsonl")]


def _lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_real_claim_bears_itself(shared_data):
    assert [claim for claim, _ in _claims(shared_data) if check(claim, [claim])] == []


def test_a_claim_is_checked_in_less_than_a_millisecond(shared_data):
    """Median of real claims against three sentences, as long as an answer's other claims have met them, too."""
    asked = []
    for claim, passages in _claims(shared_data)[:200]:
        sentences = [text[start:end] for text in passages for start, end in split_sentences(text)]
        asked.append((claim, sentences[:3]))
    first, again = [], []
    for claim, cited in asked:
        first.append(_seconds(claim, cited))
        again.append(_seconds(claim + " ", cited))
    assert sorted(again)[len(again) // 2] < 1e-3
    assert sorted(first)[len(first) // 2] < 4e-3  # sentences that were never seen before


def _seconds(claim: str, cited: list[str]) -> float:
    begin = time.thread_time()
    check(claim, cited)
    return time.thread_time() - begin


def _letters(i: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(i))


HOSTILE = {
    "stops": lambda n, salt: "漢 。" * n,
    "brackets": lambda n, salt: "![ " * n,
    "items": lambda n, salt: "\n- " * n,
    "negators": lambda n, salt: " ".join(f"The {_letters(i + salt)} is not an {i}th king." for i in range(n // 4)),
    "numbers": lambda n, salt: " x ".join(str(7 * i + salt) for i in range(n)),
    "hedges": lambda n, salt: " x ".join(f"about {i * 7 + salt}" for i in range(n)),
    "dates": lambda n, salt: " x ".join(f"on {i % 28 + 1} May {1000 + (i + salt) % 1000}" for i in range(n // 2)),
    "names": lambda n, salt: " x ".join(f"Zq{_letters(i + salt)} Wu{_letters(i + salt)}" for i in range(n // 2)),
    "acronyms": lambda n, salt: " x ".join(f"ZQ{_letters(i + salt).upper()}" for i in range(n // 2)),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_twice_the_text_takes_about_twice_the_time(make):
    """Of a claim and of its evidence at once, which have nothing in common."""
    salts = count(10**6, 10**5)

    def seconds(size: int) -> float:
        claim, evidence = make(size, next(salts)), make(size, next(salts))
        begin = process_time()
        missing(claim, [evidence], context=[evidence + "x"])
        return process_time() - begin

    seconds(100)
    for size in (1000, 2000, 3000):  # once more where something else kept the processor busy
        once, twice = seconds(size), seconds(2 * size)
        if twice < 3 * once or twice < 0.1:
            return
    raise AssertionError(f"{twice:.2f} s for twice of what took {once:.2f} s")


def test_a_huge_context_is_read_in_linear_time():
    text = "On 5 May 1994 Ada Lovelace paid $1,000 for 3 -5 cakes, and 7 to 8 million did not. " * 1000
    begin = time.thread_time()
    assert check("On 5 May 1994 Ada paid $1,000.", [text], context=[text + "!"]) == ()
    assert time.thread_time() - begin < 10
