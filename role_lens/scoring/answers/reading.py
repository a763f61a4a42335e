"""Reads the answer of a generated text, by the rules that letters and numbers share.

    read_answer("The answer is (B).", LetterReader(["ash", "ant"]))    # 1

What can't be read is None.
"""

from role_lens.checks import string
from role_lens.scoring.answers.conclusions import concluded
from role_lens.scoring.answers.statements import (
    Read,
    Reader,
    answer_part,
    last_statement,
    one_question,
)


def read_answer(text: str, reader: Reader[Read], *, truncated: bool = False) -> Read | None:
    """The answer that a text states, calls right, concludes, or is; None if there is none, or if
    its end concludes another one.

    Args:
        truncated: whether the limit of tokens ended the text.

    Raises:
        RoleLensError: the text is no string.
    """
    answer = answer_part(string(text, "a text"), truncated)
    if answer is None:
        return None
    answer = one_question(answer, reader.mention)
    found = last_statement(answer, reader)
    found = reader.last_called_right(answer, since=found[0] if found else -1) or found
    said = found[1] if found else reader.read_lines(answer)
    end = concluded(answer, reader)
    if end is None or (found and end[0] < found[0]) or end[1] == said:
        return said
    return end[1] if found is None and said is None else None
