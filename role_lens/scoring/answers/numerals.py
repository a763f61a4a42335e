"""Reads numerals: digits with marks between them, fractions, and powers of ten.

    value_of(re.match(NUMERAL, "1.000,50"), "english")    # Fraction(2001, 2)

What a comma or a point means depends on where it stands, and on the language.
"""

import re
from fractions import Fraction

from role_lens.scoring.answers.languages import Tongue

_THOUSANDS = r"[1-9]\d{0,2}"
NUMERAL = (
    r"(?P<digits>"
    # Indian, and with commas; with another separator; with points.
    r"[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?(?!\d)"
    rf"|{_THOUSANDS}(?:,\d{{3}})+(?:\.\d+)?(?!\d)"
    rf"|{_THOUSANDS}(?P<by>[ '’_])\d{{3}}(?:(?P=by)\d{{3}})*(?:[.,]\d+)?(?!\d)"
    rf"|{_THOUSANDS}(?:\.\d{{3}})+,\d+|{_THOUSANDS}(?:\.\d{{3}}){{2,}}(?!\d)"
    r"|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<decimals>,\d+(?![\d,.]))?"
    r"(?:[eE](?P<e>[-+]?\d{1,2})\b"
    r"|\s?(?:[×x*·⋅])\s?10\s?(?:\^|\*\*)\s?[({]?(?P<ten>[-–+]?\d{1,2})[)}]?)?"
    r"(?:\s(?P<above>\d{1,3})\s?/\s?(?P<parts>\d{1,3})|\s*/\s*(?P<below>\d+))?"
)
r"""A pattern of one number: "1,234.5", "10,00,000", "1 000", "1'000", "1.000,50", "1.2 × 10^3",
"3/4", "3 1/2". Its sign isn't part of it."""
_ONE_GROUP = re.compile(rf"{_THOUSANDS}[.,]\d{{3}}")


def value_of(found: re.Match[str], tongue: Tongue) -> Fraction | None:
    """The number of a match of `NUMERAL`; None where it may be two different ones."""
    digits, decimals = found["digits"], found["decimals"] or ""
    if tongue == "comma" and _ONE_GROUP.fullmatch(digits):
        return None
    if decimals:
        if tongue != "comma" or not digits.isdecimal():
            return None
        digits += decimals.replace(",", ".")
    elif found["by"]:
        digits = digits.replace(found["by"], "").replace(",", ".")
    elif digits.count(".") > 1 or re.search(r"\..*,", digits):
        digits = digits.replace(".", "").replace(",", ".")
    value = Fraction(digits.replace(",", ""))
    if power := found["e"] or found["ten"]:
        value *= Fraction(10) ** int(power.replace("–", "-"))
    if found["parts"]:
        return _mixed(found, value)
    below = int((found["below"] or "1")[:50])
    return value / below if below else None


def _mixed(found: re.Match[str], whole: Fraction) -> Fraction | None:
    """A whole number and a fraction, as "3 1/2"; None for what may be a product or two numbers."""
    above, parts = int(found["above"]), int(found["parts"])
    if not found["digits"].isdecimal() or found["e"] or found["ten"] or not 0 < above < parts:
        return None
    return whole + Fraction(above, parts)
