"""Finds answers in records, as of JSON or of Python, and writes them as tags.

    tagged('{"answer": "B", "confidence": 0.9}')    # "<answer>B</answer>"

So nothing else that a record says, such as its reasoning, is taken for the answer.
"""

import ast
import json
import re
import unicodedata
import warnings
from typing import Any

from role_lens.scoring.answers.languages import ANSWER, RIGHT

BETWEEN = "\ufdd1"
"""Stands between the answers of one record. Not a character, so that no text has it of its own."""

_ENDS = ("", "}", '"}', "}}", '"}}')  # for a record that breaks off
_MANY = 20  # braces after which none of these is tried
_OF_PYTHON = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}")
_STRAIGHT = str.maketrans("“”„＂‘’：，｛｝", '""""\'\':,{}')
_KEY = re.compile(
    r"(?:(?:the|my|final|correct|best|right|selected|chosen|predicted|model)*"
    r"(?:answers?|ans|choice|option|letter|response|prediction|selection|result|solution)"
    rf"(?:choice|option|letter|key|label|value)?|correct|(?:{RIGHT})?(?:{ANSWER})(?:{RIGHT})?)"
)
_AROUND = re.compile(r"(?:final|output|data|json|conclusion|properties|arguments|parameters)+")
_WITHIN = re.compile(r"(?:value|label|key|id)")
_UNIT = re.compile(r"units?")
_NO = {"false", "no", "wrong", "incorrect"}
_VERDICT = re.compile(r"(?:is)?(?:correct|right|true|valid)|verdict")


class _Record(list[tuple[Any, Any]]):
    """The fields of a record, as keys and values: a key may be there twice."""

    def values(self, keys: re.Pattern[str]) -> list[Any]:
        """The values of all keys that are, in plain form, of a pattern."""
        return [value for key, value in self if keys.fullmatch(_plain_key(key))]


# Whole numbers and decimals as they are written, so that no digit changes.
_JSON = json.JSONDecoder(strict=False, parse_float=str, parse_int=str, object_pairs_hook=_Record)


def tagged(text: str) -> str:
    """The text with each record that has an answer replaced by `<answer>…</answer>`."""
    straight = text.translate(_STRAIGHT)
    parts, start, done = [], straight.find("{"), 0
    while start >= 0:
        record, end = _record(text, start)
        if not record and straight != text:
            record, end = _record(straight, start)
        answers = _answers(record)
        if answers:
            parts += [text[done:start], f"<answer>{BETWEEN.join(answers)}</answer>"]
            done = end
        start = straight.find("{", end if answers else start + 1)
    return "".join([*parts, text[done:]])


def _record(text: str, start: int) -> tuple[_Record, int]:
    """The record that begins at a brace, and where it ends; an empty one if there is none."""
    for ending in _ENDS if text.count("{", start) < _MANY else _ENDS[:1]:
        try:
            record, end = _JSON.raw_decode(text + ending, start)
        except (ValueError, RecursionError):
            continue
        return record, min(end, len(text))
    found = _OF_PYTHON.match(text, start)
    if found is None:
        return _Record(), start + 1
    try:
        with warnings.catch_warnings():  # of "\(" in a text
            warnings.simplefilter("ignore")
            record = _value_of(ast.parse(found[0], mode="eval").body)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _Record(), start + 1
    return (record, found.end()) if isinstance(record, _Record) else (_Record(), start + 1)


def _value_of(written: ast.expr) -> Any:
    """A value that is written in Python, with records for its dictionaries."""
    if isinstance(written, ast.Dict):
        keys = [_value_of(key) for key in written.keys if key]  # no key: "**", refused by zip
        return _Record(zip(keys, map(_value_of, written.values), strict=True))
    if isinstance(written, ast.List | ast.Tuple | ast.Set):
        return [_value_of(item) for item in written.elts]
    return ast.literal_eval(written)


def _answers(record: _Record) -> list[str]:
    """What a record gives as its answer, each once; of one that is called wrong or left open, a
    word that is no answer."""
    if _NO & {str(value).casefold() for value in record.values(_VERDICT)}:
        return ["wrong"]
    found = record.values(_KEY)
    if not found:
        around = [inner for inner in record.values(_AROUND) if isinstance(inner, _Record)]
        return list(dict.fromkeys(answer for inner in around for answer in _answers(inner)))
    answers = [answer for value in found if (answer := _value(value)) is not None]
    unit = next((f" {unit}" for unit in record.values(_UNIT) if unit), "")
    return list(dict.fromkeys(f"{answer}{unit}" for answer in answers)) or ["none"]


def _value(value: Any) -> str | None:
    """One answer as text; of several, in a list, all of them."""
    if isinstance(value, _Record):
        inside = [text for inner in value.values(_WITHIN) if (text := _value(inner))]
        return ", ".join(_answers(value) or inside)
    if isinstance(value, list):
        return ", ".join(text for item in value if (text := _value(item)))
    return None if value is None else str(value)


def _plain_key(key: Any) -> str:
    """A key in small letters and without marks: "finalanswer" for "Final Answer"."""
    return re.sub(r"[\s_.:-]+", "", unicodedata.normalize("NFKC", str(key)).casefold())
