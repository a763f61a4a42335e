r"""Writes a generated text in plain characters, whatever it was written in.

    in_plain_characters("答案：Ｂ。")    # "答案: B. "
    in_plain_characters(r"$\boxed{\frac{3}{4}}$")    # r"$\boxed{ 3/4}$"

What is said stays the same: only widths, marks and commands change.
"""

import re
import unicodedata

_LATEX = [
    (re.compile(r"\\[cdt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r" \1/\2"),
    (re.compile(r"\\[cdt]?frac\s*(\d)\s*(\d)(?!\d)"), r" \1/\2"),
    (re.compile(r"\\(?:text|math)[a-z]{2}\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\\(?:text|mbox|emph|bm|boldsymbol|underline)\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)"), "°"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),
    (re.compile(r"\\approx(?![A-Za-z])"), "≈"),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])"), " "),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\[,!:; ]"), ""),
    (re.compile(r"\\([$%#&])"), r"\1"),
]
# Marks of a calculator, "<<9*2=18>>", of a tokenizer, "<|end|>", and of a web page, "<b>".
_CODES = re.compile(
    r"<<[^<>\n]*>>|<\|[^<>|\n]{1,40}\|>|</s>|</?(?:b|i|u|p|em|br|strong|span)\s*/?>"
)
# Of these a character is another way to write one plain character.
_SAME = {"<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<noBreak>"}
_SIGNS = str.maketrans("‐‑−﹣⁄∕٫٬٪؟⁇❓❔🤔🤷", "----//.,%??????")
_DENIALS = str.maketrans(dict.fromkeys("❌✕✗✘✖❎☐☒🚫⛔👎", " wrong "))
_STOPS = str.maketrans(
    {
        **{
            "。": ". ",
            "।": ". ",
            "۔": ". ",
            "、": ", ",
            "，": ", ",
            "،": ", ",
            "：": ": ",
            "；": "; ",
        },
        **{"؛": "; ", "（": " (", "）": ") ", "！": "! ", "？": "? ", "…": "..."},
    }
)
# Between digits; a plain space may also stand between two numbers.
_THOUSANDS = re.compile(r"(?<=\d)[\u00a0\u2007\u2008\u2009\u202f](?=\d{3}(?!\d))")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
# Scripts that set no spaces between words, or end a word with something of their own.
_NO_SPACES = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_SCRIPTS_MEET = re.compile(rf"(?<={_NO_SPACES})(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?={_NO_SPACES})")
# Letters of other alphabets that look like a Latin one, and can stand for no other option.
_LOOK_ALIKE = re.compile(r"(?<!\w)[АСΑΒΕ](?!\w)")
_LOOKS_LIKE = str.maketrans("АСΑΒΕ", "ACABE")


def in_plain_characters(text: str) -> str:
    """The text in ASCII characters where it has them in another width, style or script, without
    LaTeX's commands, HTML, the marks of a calculator, and emoji."""
    for pattern, instead in _LATEX:
        text = pattern.sub(instead, text)
    text = _CODES.sub("", text)
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"(?<=\d)，(?=\d)", ",", text)
    text = _THOUSANDS.sub("_", text)
    text = _SUPERSCRIPTS.sub(lambda m: f"^{unicodedata.normalize('NFKC', m[0])}", text)
    text = text.translate(_SIGNS).translate(_DENIALS).translate(_STOPS)
    text = "".join(map(_plain_character, text))
    text = _LOOK_ALIKE.sub(lambda m: m[0].translate(_LOOKS_LIKE), text)
    return _SCRIPTS_MEET.sub(" ", text)


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind == "<fraction>":  # "3½" is not 31/2
        return f" {unicodedata.normalize('NFKC', character).replace('⁄', '/')} "
    same = unicodedata.normalize("NFKC", character)
    if kind in _SAME and len(same) == 1 and not same.isdigit():
        return same
    if (category == "So" and character != "°") or "\ufe00" <= character <= "\ufe0f":
        return " " if category == "So" else ""
    return "" if category == "Cf" or "🏻" <= character <= "🏿" else character
