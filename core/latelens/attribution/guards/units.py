"""Units that two numbers are compared in, each with its dimension and a factor."""

from __future__ import annotations

from fractions import Fraction

# Only what converts exactly shares a dimension: pounds and kilograms do not, so that a claim that converts is flagged.
_UNITS = """
length 1000: km kilometre kilometer kilometres kilometers
length 1: m metre meter metres meters
length 1/100: cm centimetre centimeter centimetres centimeters
length 1/1000: mm millimetre millimeter millimetres millimeters
mile 1: mi mile miles
foot 3: yard yards yd
foot 1: ft foot feet
foot 1/12: inch inches
mass 1000000: t tonne tonnes
mass 1000: kg kilogram kilograms kilogramme kilogrammes kilo kilos
mass 1: g gram grams gramme grammes
mass 1/1000: mg milligram milligrams
pound 1: lb lbs pound pounds
ounce 1: oz ounce ounces
ton 1: ton tons
area 1000000: km² km2
area 10000: ha hectare hectares
area 1: m² m2
acre 1: acre acres
volume 1000: l litre liter litres liters
volume 1: ml millilitre milliliter millilitres milliliters
gallon 1: gallon gallons
months 1200: century centuries
months 120: decade decades
months 12: year years yr yrs
months 1: month months
seconds 604800: week weeks
seconds 86400: day days
seconds 3600: h hr hrs hour hours
seconds 60: min mins minute minutes
seconds 1: s sec secs second seconds
km/h 1: km/h kph kmh
mph 1: mph
celsius 1: °c ℃ celsius centigrade
fahrenheit 1: °f ℉ fahrenheit
percent 1: % percent pct
watt 1000000000: gw gigawatt gigawatts
watt 1000000: mw megawatt megawatts
watt 1000: kw kilowatt kilowatts
watt 1: w watt watts
byte 1000000000: tb terabyte terabytes
byte 1000000: gb gigabyte gigabytes
byte 1000: mb megabyte megabytes
byte 1: kb kilobyte kilobytes
hertz 1000000000: ghz
hertz 1000000: mhz
hertz 1000: khz
hertz 1: hz
dollar 1: $ us$ usd dollar dollars
dollar 1/100: cent cents
euro 1: € eur euro euros
sterling 1: £ gbp
yen 1: ¥ jpy yen
rupee 1: ₹ inr rupee rupees
franc 1: chf franc francs
yuan 1: cny rmb yuan
"""
UNITS: dict[str, tuple[str, Fraction]] = {}
for _line in _UNITS.strip().splitlines():
    _head, _, _names = _line.partition(":")
    _dimension, _factor = _head.split()
    UNITS |= {_name: (_dimension, Fraction(_factor)) for _name in _names.split()}
