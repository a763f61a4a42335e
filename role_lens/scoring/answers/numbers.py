r"""Reads the number that a generated text states as its answer, or nothing at all.

    read_number("So 3 + 4 = 7. The answer is 7.")    # Fraction(7, 1)

A text that states no number, or two, is unreadable; it is never guessed.
"""

from fractions import Fraction

from role_lens.scoring.answers.number_reader import NumberReader
from role_lens.scoring.answers.reading import read_answer


def read_number(text: str, *, truncated: bool = False) -> Fraction | None:
    r"""Read the number that a text names as its answer, or None.

    Of these forms the last one is read:

    - a statement: "The answer is 42", "La respuesta es 42", "答案：42";
    - a box: `\boxed{42}`, `#### 42`, `<answer>42</answer>`, or a record, `{"answer": 42}`.

    The end may conclude ("So 42."), and has to agree with a form before it. Where there is none of
    all these, a last line that is a number alone is read, or a text that is a number and a unit. Of
    a calculation the result is taken; signs of currency and per cent, and a unit, don't count.

    A comma, a space, an apostrophe or an underscore before each three digits separates thousands
    (also "10,00,000"); one point is the decimal point, as in English, so that "1.000" is 1, and
    several separate thousands. Of a point and a comma the later one is the decimal mark:
    "1.000,50" is 1000.5. In a statement in a language with decimal commas "3,5" is 3.5, and
    "1.000" and "1,000" are not read. "3 1/2" is 7/2, and "1.2 × 10^3" is 1200.

    What is not read: a second number; one that is changed ("5 million", "5 and a half", "5 x"),
    compared ("x > 5"), only calculated ("4 * 5"), denied, asked, supposed, or taken back; "5,5",
    which may be two; "2 500 ml bottles", which may be two bottles; "Answer - 5", which may be -5;
    numbers in words; a last line that may be an item of a list ("3." after "2. …", "- 5");
    reasoning without an end; and an answer to a further question that the text goes on with.
    Reasoning up to `</think>` doesn't count, and of a longer text only the last 4,000 characters
    do.

    Args:
        truncated: whether the limit of tokens ended the text, so that its last word may be half of
            one.

    Examples:
        >>> from role_lens.scoring import read_number
        >>> read_number("So 3 + 4 = 7. The answer is 7.")
        Fraction(7, 1)
        >>> read_number("The answer is 1 000,50.")
        Fraction(2001, 2)
    """
    return read_answer(text, NumberReader(), truncated=truncated)
