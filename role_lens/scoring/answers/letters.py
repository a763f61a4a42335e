"""Reads the letter that a generated text states as its answer, or nothing at all.

    read_letter("The answer is (B).", ["ash", "ant"])    # 1

A text that states no answer, or two, is unreadable; it is never guessed.
"""

from collections.abc import Sequence

from role_lens.errors import RoleLensError
from role_lens.scoring.answers.letter_reader import LetterReader
from role_lens.scoring.answers.reading import read_answer
from role_lens.values import as_list, shown


def read_letter(text: str, choices: Sequence[str], *, truncated: bool = False) -> int | None:
    r"""Read which option a text names as its answer: its index from 0, or None.

    Of these forms the last one is read:

    - a statement: "The answer is (B)", "Answer - B", "I'd go with B", "La respuesta es B";
    - a box: `\boxed{B}`, `<answer>B</answer>`, or a record, `{"answer": "B", "confidence": 0.9}`;
    - a judgement: "(B) is correct", "B is the most likely answer".

    The end may conclude ("So B.", "It must be B."), and has to agree with a form before it. Where
    there is none of all these, a first or last line that is a letter alone is read, or a beginning
    such as "B. Paris" if that is option B and no others are listed too. The letter counts, not the
    words of the option. Other widths and styles of characters are the same ("Ｂ"), and marks such
    as emoji don't count, except those that deny ("❌").

    What is not read: two letters, or one that is denied, asked, supposed, said by others, or taken
    back ("Wait, …"); the words or the number of an option without its letter; a small letter that
    goes on as a word ("the answer is a matter of taste"); "B is correct because …", which may be
    said of each option; a letter of another alphabet, unless it looks like and stands for the same
    option (Cyrillic А and С do, В and Б don't); languages whose words aren't in `languages.py`; a
    record, of JSON or of Python, that names two answers, leaves its answer open (`null`), or calls
    it wrong; reasoning without an end; and an answer to a further question that the text goes on
    with. Reasoning up to `</think>` doesn't count, and of a longer text only the last 4,000
    characters do.

    Args:
        choices: texts of the options, in the order of their letters.
        truncated: whether the limit of tokens ended the text, so that its last word may be half of
            one.

    Examples:
        >>> from role_lens.scoring import read_letter
        >>> read_letter("The answer is (B).", ["ash", "ant"])
        1
        >>> read_letter('{"answer": "B", "reasoning": "It is not A."}', ["ash", "ant"])
        1
        >>> read_letter("Either A or B.", ["ash", "ant"]) is None
        True
    """
    options = as_list(choices)
    if not options:
        raise RoleLensError(f"expected the texts of the options, got {shown(choices)}")
    return read_answer(text, LetterReader([str(one) for one in options]), truncated=truncated)
