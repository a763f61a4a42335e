"""Lists the forms in which benchmarks write their questions down.

    form_of(row).name    # "MedQA"

To add a form is to add an entry to `FORMS`.
"""

from collections.abc import Mapping

from role_lens.errors import RoleLensError
from role_lens.questions.row_form import RowForm
from role_lens.rows.row import Fields, NoRowsError, Row
from role_lens.values import shown

_QUESTION = "question|query|problem|prompt|stem|question_text"
_LIST = "options|choices|answers|endings|candidates"
_KEY = (
    "answer|answerkey|answer_key|answer_idx|answer_index|correct_answer|correct_option|"
    "correct_choice|correct_letter|right_answer|ground_truth|correct|label|gold|target|key"
)
_LETTERED = "(?:option|choice|answer|opt|ans)?_?[a-j]"
_NUMBERED = r"(?:option|choice|answer|opt|ans|ending)?_?\d+"

OWN = RowForm("question, choices and answer", ("question",), "choices", subject="subject", id="id")
"""The package's own form; its key is an index from 0."""
FORMS = (
    OWN,
    RowForm("TruthfulQA (mc1)", ("question",), "mc1_targets", right="1", is_shuffled=True),
    RowForm("TruthfulQA (mc2)", ("question",), "mc2_targets", right="1", is_shuffled=True),
    RowForm("BIG-bench", ("input",), "target_scores", right="1"),
    RowForm("ARC or CommonsenseQA", ("question",), "choices", key="answerkey"),
    RowForm("ARC or CommonsenseQA", ("question.stem",), "question.choices", key="answerkey"),
    RowForm("OpenBookQA", ("question_stem",), "choices", key="answerkey"),
    RowForm("MMLU-Pro", ("question",), "options", key="answer_index"),
    RowForm("MedQA", ("question",), "options", key="answer_idx"),
    RowForm("MedMCQA", ("question",), columns="op[a-d]", key="cop"),
    RowForm("HellaSwag", ("ctx",), "endings", key="label"),
    RowForm("SWAG", ("startphrase",), columns="ending[0-3]", key="label"),
    RowForm("PIQA", ("goal",), columns="sol[12]", key="label", labels=("0", "1")),
    RowForm("COPA", ("premise", "question"), columns="choice[12]", key="label", labels=("0", "1")),
    RowForm("WinoGrande", ("sentence",), columns="option[12]", labels=("1", "2")),
    RowForm(
        "Social IQa",
        ("context", "question"),
        columns="answer[abc]",
        key="label",
        labels=("1", "2", "3"),
        passage="",
    ),
    RowForm("Cosmos QA", ("context", "question"), columns="answer[0-3]", key="label", passage=""),
    RowForm(
        "SciQ",
        ("question",),
        columns="correct_answer|distractor[1-3]",
        right="correct_answer",
        is_shuffled=True,
    ),
    RowForm(
        "GPQA",
        ("question",),
        columns="correct_answer|incorrect_answer_[1-3]",
        right="correct_answer",
        is_shuffled=True,
    ),
    RowForm(
        "MMLU's CSV (question, options, letter)",
        ("column_1_of_6",),
        columns="column_[2-5]_of_6",
        key="column_6_of_6",
        is_subject=True,
    ),
    RowForm("a question and a list of options", (_QUESTION,), _LIST, key=_KEY),
    RowForm("a question and an option a column", (_QUESTION,), columns=_LETTERED, key=_KEY),
    RowForm("a question and an option a column", (_QUESTION,), columns=_NUMBERED, key=_KEY),
)
"""The known forms; a file is of the first that its first row fits."""
KNOWN = frozenset(
    name.split(".")[0]
    for form in FORMS
    for names in (form.passage, *form.text)
    for name in names.split("|")
    if name
)
"""Names of fields of texts, one of which every row has."""


def form_of(row: Row) -> RowForm:
    """The first form that a row fits, if need be but for its key.

    Raises:
        NoRowsError: there is none.
        RoleLensError: two fields have one name.
    """
    try:
        fields = row.fields
    except RoleLensError as error:
        kind = RoleLensError if isinstance(row.value, Mapping) else NoRowsError
        raise kind(f"{row.place}: {error}") from error
    for with_key in (True, False):
        for form in FORMS:
            if form.fits(fields, with_key=with_key):
                return form
    raise NoRowsError(
        f"{row.place}: can't tell a question and its options by the fields {shown([*fields])}: "
        "expected question, choices and answer, or those of a benchmark that load_questions names"
    )


def option_fields(fields: Fields) -> list[str]:
    """The fields that hold the options of a row, in whatever form; none if it has no options."""
    found = (form.option_fields(fields) for form in FORMS if form.fits(fields, with_key=False))
    return next(filter(None, found), [])
