"""Lists the forms in which benchmarks write their questions down.

    form_of(row).name    # "MedQA"

To add a form is to add an entry to `FORMS`.
"""

from role_lens.errors import RoleLensError
from role_lens.questions.fields import fields_of
from role_lens.questions.form import Form
from role_lens.rows.row import NoRowsError, Row
from role_lens.values import shown

_QUESTION = "question|query|problem|prompt|stem|question_text"
_PASSAGE = "passage|article|context|narrative"
_LIST = "options|choices|answers|endings|candidates"
_KEY = (
    "answer|answerkey|answer_key|answer_idx|answer_index|correct_answer|correct_option|"
    "correct_choice|correct_letter|right_answer|ground_truth|correct|label|gold|target|key"
)
_LETTERED = "(?:option|choice|answer|opt|ans)?_?[a-j]"
_NUMBERED = r"(?:option|choice|answer|opt|ans|ending)?_?\d+"

OWN = Form("question, choices and answer", ("question",), "choices", subject="subject", id="id")
"""The package's own form; its key is an index from 0."""
FORMS = (
    OWN,
    Form("TruthfulQA (mc1)", ("question",), "mc1_targets", right="1", is_shuffled=True),
    Form("TruthfulQA (mc2)", ("question",), "mc2_targets", right="1", is_shuffled=True),
    Form("BIG-bench", ("input",), "target_scores", right="1"),
    Form("ARC or CommonsenseQA", ("question",), "choices", key="answerkey"),
    Form("ARC or CommonsenseQA", ("question.stem",), "question.choices", key="answerkey"),
    Form("OpenBookQA", ("question_stem",), "choices", key="answerkey"),
    Form("MMLU-Pro", ("question",), "options", key="answer_index"),
    Form("MedQA", ("question",), "options", key="answer_idx"),
    Form("MedMCQA", ("question",), columns="op[a-d]", key="cop"),
    Form("HellaSwag", ("ctx",), "endings", key="label"),
    Form("SWAG", ("startphrase",), columns="ending[0-3]", key="label"),
    Form("PIQA", ("goal",), columns="sol[12]", key="label", labels=("0", "1")),
    Form("COPA", ("premise", "question"), columns="choice[12]", key="label", labels=("0", "1")),
    Form("WinoGrande", ("sentence",), columns="option[12]", labels=("1", "2")),
    Form(
        "Social IQa",
        ("context", "question"),
        columns="answer[abc]",
        key="label",
        labels=("1", "2", "3"),
    ),
    Form("Cosmos QA", ("context", "question"), columns="answer[0-3]", key="label"),
    Form(
        "SciQ",
        ("question",),
        columns="correct_answer|distractor[1-3]",
        right="correct_answer",
        is_shuffled=True,
    ),
    Form(
        "GPQA",
        ("question",),
        columns="correct_answer|incorrect_answer_[1-3]",
        right="correct_answer",
        is_shuffled=True,
    ),
    Form(
        "MMLU's CSV (question, options, letter)",
        ("column_1_of_6",),
        columns="column_[2-5]_of_6",
        key="column_6_of_6",
        is_subject=True,
    ),
    Form("a passage, a question and a list of options", (_PASSAGE, _QUESTION), _LIST, key=_KEY),
    Form(
        "a passage, a question and an option a column",
        (_PASSAGE, _QUESTION),
        columns=_LETTERED,
        key=_KEY,
    ),
    Form(
        "a passage, a question and an option a column",
        (_PASSAGE, _QUESTION),
        columns=_NUMBERED,
        key=_KEY,
    ),
    Form("a question and a list of options", (_QUESTION,), _LIST, key=_KEY),
    Form("a question and an option a column", (_QUESTION,), columns=_LETTERED, key=_KEY),
    Form("a question and an option a column", (_QUESTION,), columns=_NUMBERED, key=_KEY),
)
"""The known forms; a file is of the first that its first row fits."""
KNOWN = frozenset(
    name.split(".")[0] for form in FORMS for names in form.text for name in names.split("|")
)
"""Names of fields of texts, one of which every row has."""


def form_of(row: Row) -> Form:
    """The first form that a row fits, if need be but for its key.

    Raises:
        NoRowsError: there is none.
    """
    try:
        fields = fields_of(row)
    except RoleLensError as error:
        raise NoRowsError(f"{row.place}: {error}") from error
    for with_key in (True, False):
        for form in FORMS:
            if form.fits(fields, with_key=with_key):
                return form
    raise NoRowsError(
        f"{row.place}: can't tell a question and its options by the fields {shown([*fields])}: "
        "expected question, choices and answer, or those of a benchmark that load_questions names"
    )
