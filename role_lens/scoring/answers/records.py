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

# Whole numbers and decimals as they are written, so that no digit changes.
_JSON = json.JSONDecoder(strict=False, parse_float=str, parse_int=str)
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
        start = straight.find("{", end)
    return "".join([*parts, text[done:]])


def _record(text: str, start: int) -> tuple[dict[str, Any], int]:
    """The record that begins at a brace, and where it ends; an empty one if there is none."""
    for ending in _ENDS if text.count("{", start) < _MANY else _ENDS[:1]:
        try:
            record, end = _JSON.raw_decode(text + ending, start)
        except (ValueError, RecursionError):
            continue
        return record, min(end, len(text))
    found = _OF_PYTHON.match(text, start)
    try:
        with warnings.catch_warnings():  # of "\(" in a text
            warnings.simplefilter("ignore")
            record = ast.literal_eval(found[0]) if found else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        record = None
    if found and isinstance(record, dict):
        return record, found.end()
    return {}, start + 1


def _answers(record: dict[str, Any]) -> list[str]:
    """What a record gives as its answer, each once; of one that is called wrong, nothing."""
    fields = {_plain_key(key): value for key, value in record.items()}
    verdicts = [str(value).casefold() for key, value in fields.items() if _VERDICT.fullmatch(key)]
    if _NO & set(verdicts):
        return ["wrong"]
    found = [_value(value) for key, value in fields.items() if _KEY.fullmatch(key)]
    if not found:
        around = [v for k, v in fields.items() if _AROUND.fullmatch(k) and isinstance(v, dict)]
        return list(dict.fromkeys(answer for inner in around for answer in _answers(inner)))
    unit = next((f" {v}" for k, v in fields.items() if _UNIT.fullmatch(k) and v), "")
    return list(dict.fromkeys(f"{answer}{unit}" for answer in found if answer is not None))


def _value(value: Any) -> str | None:
    """One answer as text; of several, in a list, all of them."""
    if isinstance(value, dict):
        fields = {_plain_key(key): inner for key, inner in value.items()}
        inside = [inner for key, inner in fields.items() if _WITHIN.fullmatch(key)]
        answers = _answers(value) or [text for inner in inside if (text := _value(inner))]
        return ", ".join(answers)
    if isinstance(value, list | tuple | set):
        return ", ".join(text for item in value if (text := _value(item)))
    return None if value is None else str(value)


def _plain_key(key: Any) -> str:
    """A key in small letters and without marks: "finalanswer" for "Final Answer"."""
    return re.sub(r"[\s_.:-]+", "", unicodedata.normalize("NFKC", str(key)).casefold())
