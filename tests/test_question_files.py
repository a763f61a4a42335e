"""Questions in the files and forms that people have: what is plain is read, and told in one line;
what can mean two things is refused."""

import codecs
import csv
import io
import json
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from role_lens import Question, RoleLensError, load_numeric_questions, load_questions, load_roles
from role_lens.questions import home_domains, sample_by_domain

ROWS = [
    {"question": "Which is a tree?", "choices": ["ash", "ant"], "answer": 0, "subject": "botany"},
    {"question": "Two, or\nthree?", "choices": ["None", "two", "NA"], "answer": 2, "subject": "x"},
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows, delimiter=",", **options):
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, **options)
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def write(path, content):
    """Rows as the name's ending says, a text or bytes as they are."""
    if isinstance(content, list):
        if path.suffix in (".parquet", ".arrow"):
            frame = pd.DataFrame(content)
            frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_feather(path)
            return path
        content = lines(content) if path.suffix == ".jsonl" else json.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, **options):
    """What was read, as question, options, answer; and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        questions = load_questions(path, **options)
    return questions, [str(one.message) for one in said]


def content(question):
    return question.question, question.choices, question.answer


def stream(rows):
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("q.jsonl", ROWS, "12"),
        ("q.JSONL", lines(ROWS), "12"),
        ("q.jsonl", "\n" + lines(ROWS).replace("\n", "\r\n\r\n"), "24"),
        ("q.jsonl", lines(ROWS).replace("\n", "\r"), "12"),
        ("q.jsonl", codecs.BOM_UTF8 + lines(ROWS).encode(), "12"),
        ("q.jsonl", codecs.BOM_UTF16_LE + lines(ROWS).encode("utf-16-le"), "12"),
        ("q.jsonl", codecs.BOM_UTF16_BE + lines(ROWS).encode("utf-16-be"), "12"),
        ("q.jsonl", lines(ROWS).encode("utf-32"), "12"),
        ("q.jsonl", json.dumps(ROWS), "12"),
        ("q.json", ROWS, "12"),
        ("q.json", json.dumps(ROWS, indent=1), "12"),
        ("q.json", lines(ROWS), "12"),
        ("q.json", "".join(json.dumps(row, indent=1) for row in ROWS), "12"),
        ("q.json", json.dumps({"version": "1.0", "tags": ["a", "b"], "data": ROWS}), "12"),
        ("q.json", json.dumps({"data": ROWS}, indent=1), "12"),
        ("q.json", json.dumps(COLUMNS), "12"),
        ("q.json", pd.DataFrame(ROWS).to_json(), "12"),
        ("q.json", pd.DataFrame(ROWS).to_json(orient="records"), "12"),
        ("q.parquet", ROWS, "12"),
        ("seed=0/q.parquet", ROWS, "12"),
        ("q.arrow", ROWS, "12"),
        ("q.arrow", stream(ROWS), "12"),
        ("q", lines(ROWS), "12"),
    ],
)
def test_the_same_rows_in_every_kind_of_file(tmp_path, name, content, ids):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    questions, said = read(write(tmp_path / name, content))
    assert questions == [
        Question(f"q:{ids[0]}", "Which is a tree?", ("ash", "ant"), 0, "botany", "botany"),
        Question(f"q:{ids[1]}", "Two, or\nthree?", ("None", "two", "NA"), 2, "x", "x"),
    ]
    assert not said


def test_a_json_file_of_one_row(tmp_path):
    path = write(tmp_path / "q.json", json.dumps(ROWS[0], indent=1))
    assert read(path) == ([Question(**ROWS[0], id="q:1", domain="botany")], [])


def test_a_json_file_with_rows_by_their_ids(tmp_path):
    path = write(tmp_path / "q.json", json.dumps({"one": ROWS[0], "two": ROWS[1]}))
    assert [question.id for question in load_questions(path)] == ["one", "two"]


TREE = "Which is a tree?", ("ash", "ant", "eel", "owl"), 1
LETTERED = {"question": TREE[0], "A": "ash", "B": "ant", "C": "eel", "D": "owl", "answer": "B"}
LIST = {"question": TREE[0], "choices": list(TREE[1])}
LABELS = {"label": list("ABCD"), "text": list(TREE[1])}
NUMBERS = {"label": ["1", "2"], "text": ["x", "y"]}
PAIRS = [{"label": label, "text": text} for label, text in zip("ABCD", TREE[1], strict=True)]
PLAIN = {"question": TREE[0], "options": list(TREE[1])}
NUMBERED = {"question": TREE[0], **{f"choice{n}": one for n, one in enumerate(TREE[1], start=1)}}
TWO = "The tree bent.", ("wind", "rain")
READ = {
    "letters in the package's own form": ([{**LIST, "answer": "B"}], TREE, "question, choices and"),
    "digits": ([{**LIST, "answer": "1"}], TREE, None),
    "floats that are whole": ([{**LIST, "answer": 1.0}], TREE, "an index from 0"),
    "a text": ([{**LIST, "answer": "ant"}], TREE, "the text of an option"),
    "MMLU": ([{**LIST, "answer": 1, "subject": "anatomy"}], TREE, None),
    "ARC": (
        [{"id": "a", "question": TREE[0], "choices": LABELS, "answerKey": "B"}],
        TREE,
        "rows of ARC or CommonsenseQA, whose answer is a label",
    ),
    "ARC with numbers, 3 options": (
        [
            {
                "question": TREE[0],
                "choices": {"text": ["1", "2", "3"], "label": ["1", "2", "3"]},
                "answerKey": "3",
            }
        ],
        (TREE[0], ("1", "2", "3"), 2),
        "1 question of 3 options",
    ),
    "ARC, nested": (
        [{"id": "a", "question": {"stem": TREE[0], "choices": PAIRS}, "answerKey": "B"}],
        TREE,
        "ARC or CommonsenseQA",
    ),
    "CommonsenseQA": (
        [{**LIST, "choices": LABELS, "question_concept": "tree", "answerKey": "B"}],
        TREE,
        "ARC or CommonsenseQA",
    ),
    "OpenBookQA": (
        [{"question_stem": TREE[0], "choices": LABELS, "answerKey": "B"}],
        TREE,
        "OpenBookQA",
    ),
    "MMLU-Pro": (
        [
            {
                "question_id": 70,
                "question": TREE[0],
                "options": [str(n) for n in range(10)],
                "answer": "I",
                "answer_index": 8,
                "category": "law",
            }
        ],
        (TREE[0], tuple("0123456789"), 8),
        "MMLU-Pro, whose answer is an index from 0: 1 question of 10 options",
    ),
    "MedQA": (
        [
            {
                "question": TREE[0],
                "answer": "ant",
                "options": dict(zip("ABCD", TREE[1], strict=True)),
                "meta_info": "step1",
                "answer_idx": "B",
            }
        ],
        TREE,
        "MedQA, whose answer is a label",
    ),
    "MedQA, as pairs": (
        [
            {
                "question": TREE[0],
                "options": [{"key": one["label"], "value": one["text"]} for one in PAIRS],
                "answer_idx": "B",
            }
        ],
        TREE,
        "MedQA",
    ),
    "MedMCQA": (
        [
            {
                "id": "m",
                "question": TREE[0],
                **dict(zip(("opa", "opb", "opc", "opd"), TREE[1], strict=True)),
                "cop": 1,
                "subject_name": "Anatomy",
            }
        ],
        TREE,
        "MedMCQA, whose answer is an index from 0",
    ),
    "HellaSwag": (
        [{"ind": 4, "ctx": TREE[0], "endings": list(TREE[1]), "label": "1"}],
        TREE,
        "HellaSwag",
    ),
    "SWAG": (
        [
            {
                "startphrase": TREE[0],
                **{f"ending{n}": one for n, one in enumerate(TREE[1])},
                "label": 1,
            }
        ],
        TREE,
        "SWAG",
    ),
    "PIQA": (
        [{"goal": TWO[0], "sol1": "wind", "sol2": "rain", "label": 1}],
        (*TWO, 1),
        "PIQA",
    ),
    "COPA": (
        [
            {
                "premise": "Rain.",
                "question": "cause",
                **{"choice1": "wind", "choice2": "rain", "label": 1},
            }
        ],
        ("Rain.\ncause", TWO[1], 1),
        "COPA",
    ),
    "WinoGrande": (
        [{"sentence": TWO[0], "option1": "wind", "option2": "rain", "answer": "1"}],
        (*TWO, 0),
        "WinoGrande, whose answer is a label",
    ),
    "Social IQa": (
        [
            {
                "context": "It was late.",
                "question": TREE[0],
                **{f"answer{letter}": one for letter, one in zip("ABC", TREE[1], strict=False)},
                "label": "2",
            }
        ],
        (f"It was late.\n{TREE[0]}", TREE[1][:3], 1),
        "Social IQa",
    ),
    "Cosmos QA": (
        [
            {
                "context": "It was late.",
                "question": TREE[0],
                **{f"answer{n}": one for n, one in enumerate(TREE[1])},
                "label": 1,
            }
        ],
        (f"It was late.\n{TREE[0]}", *TREE[1:]),
        "Cosmos QA",
    ),
    "RACE": (
        [{"article": "It was late.", **PLAIN, "answer": "B"}],
        (f"It was late.\n{TREE[0]}", *TREE[1:]),
        "a question and a list of options after a passage, whose answer is a letter",
    ),
    "a passage that isn't always there": (
        [{"passage": None, **PLAIN, "label": "B"}],
        TREE,
        "a question and a list of options, whose answer is a letter",
    ),
    "a passage and a column for each option": (
        [{"passage": "It was late.", **LETTERED}],
        (f"It was late.\n{TREE[0]}", *TREE[1:]),
        "a question and an option a column after a passage, whose answer is a letter",
    ),
    "a passage in the package's own form": (
        [{"passage": "It was late.", **LIST, "answer": 1}],
        (f"It was late.\n{TREE[0]}", *TREE[1:]),
        "question, choices and answer after a passage, whose answer is an index from 0",
    ),
    "a passage before a benchmark's question": (
        [{"Context": "It was late.", **PLAIN, "answer": "B", "answer_index": 1}],
        (f"It was late.\n{TREE[0]}", *TREE[1:]),
        "MMLU-Pro after a passage",
    ),
    "a passage that is missing in the package's own form": (
        [{"passage": None, **LIST, "answer": 1}],
        TREE,
        None,
    ),
    "BIG-bench": (
        [{"input": TREE[0], "target_scores": {"ash": 0, "ant": 1, "eel": 0, "owl": 0}}],
        TREE,
        "BIG-bench, whose right option is marked: 1 question",
    ),
    "options, answer": ([{**PLAIN, "answer": "(b)"}], TREE, "a question and a list of options"),
    "a column for each option": ([LETTERED], TREE, "an option a column, whose answer is a letter"),
    "a column for each option, mixed": (
        [{f"option_{name.lower()}" if len(name) == 1 else name: LETTERED[name] for name in
          ("question", "answer", "D", "B", "A", "C")}],
        TREE,
        "an option a column",
    ),
    "names with capitals and spaces": (
        [{"Question": TREE[0], "Option A": "ash", "Option B": "ant", "Correct Answer": "Option B"}],
        (TREE[0], TREE[1][:2], 1),
        "the name or number of a column",
    ),
    "numbered columns": ([{**NUMBERED, "answer": "ant"}], TREE, "the text of an option"),
}  # fmt: skip


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("name", READ)
def test_forms(tmp_path, name, ending):
    rows, expected, message = READ[name]
    (question,), said = read(write(tmp_path / f"q{ending}", rows))
    assert content(question) == expected
    if name == "digits":
        message = "an index from 0"
    assert len(said) == (message is not None)
    assert all(one.startswith(f"q{ending}: read as rows of ") and message in one for one in said)


def test_names_in_the_rows(tmp_path):
    """Subjects and ids of benchmarks that call them otherwise."""
    rows = {name: READ[name][0] for name in ("MMLU-Pro", "MedMCQA", "ARC", "MMLU", "HellaSwag")}
    found = {name: read(write(tmp_path / "q.jsonl", some))[0][0] for name, some in rows.items()}
    assert {name: (one.id, one.subject) for name, one in found.items()} == {
        "MMLU-Pro": ("70", "law"),
        "MedMCQA": ("m", "Anatomy"),
        "ARC": ("a", "q"),
        "MMLU": ("q:1", "anatomy"),
        "HellaSwag": ("q:1", "q"),
    }


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
@pytest.mark.parametrize("own", [str, str.title])
def test_names_are_compared_alike_in_every_kind_of_file(tmp_path, ending, own):
    row = {own(name): value for name, value in {**LIST, "answer": 1}.items()}
    row |= {"Subject": "botany", "DOMAIN": "plants", "Id": "seven"}
    (question,), _ = read(
        write(tmp_path / f"q{ending}", as_csv([row]) if ending == ".csv" else [row])
    )
    assert content(question) == TREE
    assert (question.id, question.subject, question.domain) == ("seven", "botany", "plants")


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (
            {"question": "Q?", "mc1_targets": {"choices": list("rstu"), "labels": [1, 0, 0, 0]}},
            "stu",
        ),
        ({"question": "Q?", "mc1_targets": {"r": 1, "s": 0, "t": 0, "u": 0}}, "stu"),
        (
            {"question": "Q?", "mc2_targets": {"choices": list("srtu"), "labels": [0, 1, 0, 0]}},
            "stu",
        ),
        (
            {
                "question": "Q?",
                "correct_answer": "r",
                **{f"distractor{n}": one for n, one in zip("123", "stu", strict=True)},
                "support": "It is r.",
            },
            "stu",
        ),
        (
            {
                "Question": "Q?",
                "Correct Answer": "r",
                **{f"Incorrect Answer {n}": one for n, one in zip("123", "stu", strict=True)},
            },
            "stu",
        ),
    ],
)
def test_a_right_option_that_always_comes_first_is_put_among_the_others(tmp_path, row, wrong):
    name = "Question" if "Question" in row else "question"
    rows = [{**row, name: f"Question {n}?"} for n in range(60)]
    questions, (said,) = read(write(tmp_path / "q.jsonl", rows))
    assert "whose options were put in an order drawn for each text: 60 questions of 4" in said
    assert all(sorted(question.choices) == ["r", *wrong] for question in questions)
    assert {question.choices[question.answer] for question in questions} == {"r"}
    counts = pd.Series([question.answer for question in questions]).value_counts()
    assert len(counts) == 4
    assert counts.min() > 4
    later = load_questions(write(tmp_path / "q.jsonl", rows[::-1]))
    assert [content(question) for question in later[::-1]] == list(map(content, questions))


CSV = {
    "a header": (as_csv([LETTERED]), TREE),
    "semicolons": (as_csv([LETTERED], delimiter=";"), TREE),
    "bars": (as_csv([LETTERED], delimiter="|"), TREE),
    "tabs": (as_csv([LETTERED], delimiter="\t"), TREE),
    "a byte order mark": (codecs.BOM_UTF8 + as_csv([LETTERED]).encode(), TREE),
    "UTF-16": (as_csv([LETTERED]).encode("utf-16"), TREE),
    "old line ends": (as_csv([LETTERED]).replace("\r\n", "\r"), TREE),
    "blank lines": ("\r\n" + as_csv([LETTERED]) + ",,,,,\r\n\r\n", TREE),
    "an index, as pandas writes it": (pd.DataFrame([LETTERED]).to_csv(), TREE),
    "spaces after the commas": (f'question, A, B, answer\n{TREE[0]}, "a, b", c, B\n',
                                (TREE[0], ("a, b", "c"), 1)),
    "fewer options than columns": (
        as_csv([{**{name: LETTERED[name] for name in ("question", "A", "B")},
                 "C": "", "D": "", "answer": "B"}]),
        (TREE[0], TREE[1][:2], 1),
    ),
    "a list as JSON": (as_csv([{**LIST, "choices": json.dumps(LIST["choices"]), "answer": "1"}]),
                       TREE),
    "a list as Python writes it": (as_csv([{**LIST, "answer": "1.0"}]), TREE),
    "a list as numpy prints it": (
        as_csv([{**LIST, "choices": np.array(["it's", 'a "b"', "c\nd"]), "answer": "2"}]),
        (TREE[0], ("it's", 'a "b"', "c\nd"), 2),
    ),
    "a list with LaTeX": (
        as_csv([{**LIST, "choices": r"['\(x\)', '\[y\]']", "answer": "1"}]),
        (TREE[0], (r"\(x\)", r"\[y\]"), 1),
    ),
    "ARC": (as_csv([{**LIST, "choices": LABELS, "answerKey": "B"}]), TREE),
    "ARC with arrays": (
        as_csv([{**LIST, "choices": {name: np.array(one, dtype=object)
                                     for name, one in LABELS.items()}, "answerKey": "B"}]),
        TREE,
    ),
    "options that pandas would take for missing ones": (
        "question,A,B,C,answer\nHow many?,None,nan,NA,C\n", ("How many?", ("None", "nan", "NA"), 2)
    ),
    "MMLU's own": (f"{TREE[0]},ash,ant,eel,owl,B\n", TREE),
    "text with quotes and lines": (
        '"Which ""tree"",\nold or new?",ash,"ant, or eel",3,4,C\n',
        ('Which "tree",\nold or new?', ("ash", "ant, or eel", "3", "4"), 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_tables_of_text(tmp_path, name):
    text, expected = CSV[name]
    (question,), (said,) = read(write(tmp_path / "q.csv", text))
    assert content(question) == expected
    assert said.startswith("q.csv: read as rows of ")


def test_tables_with_tabs(tmp_path):
    """Quoted or, as many are, not quoted at all."""
    for text in (
        as_csv([LETTERED], delimiter="\t"),
        'question\tA\tB\tanswer\n"No" is?\ta\t"b\tB\n',
    ):
        (question,), _ = read(write(tmp_path / "q.tsv", text))
        assert question.answer == 1
    assert content(question) == ('"No" is?', ("a", '"b'), 1)


def test_mmlu_s_own_files_say_their_subject_by_their_names(tmp_path):
    """So that examples of one part fit questions of another."""
    for name in ("econometrics_test", "econometrics_dev", "anatomy_test"):
        write(tmp_path / f"{name}.csv", "Which?,a,b,c,d,B\nWhat?,a,b,c,d,A\n")
    questions, said = read(tmp_path)
    assert [(one.id, one.subject, one.domain) for one in questions[::2]] == [
        ("anatomy_test:1", "anatomy", "anatomy"),
        ("econometrics_dev:1", "econometrics", "econ"),
        ("econometrics_test:1", "econometrics", "econ"),
    ]
    assert said == [
        f"3 files (anatomy_test.csv, ...) in {tmp_path}: read as rows of MMLU's CSV (question, "
        "options, letter), whose answer is a letter: 6 questions of 4 options"
    ]


def test_one_line_for_files_that_are_read_alike(tmp_path):
    write(tmp_path / "a.csv", as_csv([LETTERED]))
    write(tmp_path / "b.jsonl", ROWS)
    write(
        tmp_path / "c.json",
        [{**PLAIN, "answer": "B"}, {**PLAIN, "options": ["x", "y"], "answer": "A"}],
    )
    questions, said = read(tmp_path)
    assert [one.id for one in questions] == ["a:2", "b:1", "b:2", "c:1", "c:2"]
    assert [one.partition(":")[0] for one in said] == ["a.csv", "c.json"]
    assert said[1].endswith("2 questions of 2 to 4 options")


def mapped(options, *keys):
    return [{**options, "answer": key} for key in keys]


@pytest.mark.parametrize(
    ("rows", "answers"),
    [
        # A whole column is meant in one way: in that which fits all its rows.
        (mapped(NUMBERED, "1", "4"), [0, 3]),
        (mapped(NUMBERED, "0", "3"), [0, 3]),
        (mapped(NUMBERED, "choice2", "Choice4"), [1, 3]),
        (mapped({**LIST, "choices": ["2", "3", "4"]}, "2", "4"), [0, 2]),
        (mapped({**LIST, "choices": ["2", "3", "4"]}, "2", "0"), [2, 0]),
        # In the package's own form a number is an index, whatever the options are.
        (mapped({**LIST, "choices": ["1", "2", "3", "4"]}, 1, 3), [1, 3]),
        (mapped(LIST, 0, "B", "(c)", "D.", "d: owl", "owl"), [0, 1, 2, 3, 3, 3]),
        (mapped({**LIST, "choices": ["A", "B"]}, "A", "B"), [0, 1]),
        (mapped({**LIST, "choices": ["Yes", "yes"]}, "yes", "Yes"), [1, 0]),
        (mapped({**LIST, "choices": [True, False]}, "False", "A"), [1, 0]),
        (mapped({**LIST, "choices": [3, 4]}, 4, 3), [1, 0]),
        (mapped({**LIST, "choices": [0.5, 4]}, 0.5, "4"), [0, 1]),
        (mapped({**LIST, "choices": LABELS}, "b", "D)", 0), [1, 3, 0]),
        (mapped({**LIST, "choices": NUMBERS}, 2, "A", "x"), [1, 0, 0]),
    ],
)  # fmt: skip
def test_answers(tmp_path, rows, answers):
    questions, _ = read(write(tmp_path / "q.jsonl", rows))
    assert [question.answer for question in questions] == answers


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**LIST, "answer": None}, "row 1: there is no answer: take a part"),
        ({**LIST, "answer": ""}, "there is no answer"),
        ({**LIST, "answer": float("nan")}, "there is no answer"),
        (LIST, "there is no answer among the fields .*, or call its field 'answer'"),
        ({**LIST, "choices": LABELS, "answerKey": ""}, "there is no answer"),
        ({**READ["MedMCQA"][0][0], "cop": -1}, "answer -1 is outside the choices, .* kept back"),
        ({**LIST, "answer": 4}, "answer 4 is outside the choices, 0 to 3; if .* counted from 1"),
        ({**LIST, "answer": "4"}, "answer 4 is outside the choices, 0 to 3; if .* counted from 1"),
        ({**NUMBERED, "answer": 2}, "the answer 2 can be the option 'ant' as the name or number of "
                                    "a column or the option 'eel' as an index from 0: write it as "
                                    "a letter"),
        ({**LIST, "choices": ["1", "2", "3"], "answer": "2"},
         "'2' can be the option '3' as an index from 0 or the option '2' as the text of an option"),
        ({**LIST, "choices": ["B", "A"], "answer": "A"}, "'A' can be .* write it as an index from"),
        ({**LIST, "choices": [1, 0], "answer": 0}, "0 can be the option '1' as an index from 0 or"),
        ({**LIST, "answer": "E"}, "expected an index from 0 to 3, a letter or the text of exactly "
                                  "one option as the answer, got 'E'"),
        ({**LIST, "answer": "B. owl"}, "expected an index .* got 'B. owl'"),
        ({**LIST, "choices": ["x", "x", "y"], "answer": "x"}, "exactly one option"),
        ({**LIST, "answer": 0.5}, "expected an index .* got 0.5"),
        ({**LIST, "answer": True}, "expected an index .* got True"),
        ({**LIST, "answer": [1]}, r"expected an index .* got \[1\]"),
        ({**LIST, "choices": LABELS, "answerKey": "E"}, "one of the labels A, B, C, D or the text"),
        ({**LIST, "choices": NUMBERS, "answerKey": 0},
         "one of the labels 1, 2 or the text of exactly one option as the answer, got 0"),
        ({**LIST, "choices": {"text": ["x", "y"], "label": ["A"]}, "answer": "A"},
         "expected a list of options in the field 'choices', got {'text'"),
        ({**LIST, "choices": "ash|ant", "answer": 0}, "expected a list of options .*'ash|ant'"),
        ({**LIST, "choices": "{{'A': 'ash'}}", "answer": 0}, "expected a list of options .*{{'A'"),
        ({**LIST, "choices": "{['ash']: 1}", "answer": 0}, "a list of options .*{.'ash'.: 1}"),
        ({"question": "Q?", "candidates": "ash", "answer": 0}, "in the field 'candidates', got"),
        ({**LIST, "choices": ["ash", None], "answer": 0}, "expected a text as option 2, got None"),
        ({**LIST, "choices": ["ash", ["ant"]], "answer": 0}, "expected a text as option 2"),
        ({**LIST, "question": None, "answer": 0}, "string in the field 'question', got None"),
        ({"article": "It was late.", **PLAIN, "question": " ", "answer": "A"},
         "expected a non-empty string in the field 'question', got ' '"),
        ({"passage": ["It was late."], **LIST, "answer": 1}, "string .* 'passage', got .'It"),
        ({**LIST, "answer": 1, "Answer": "A"}, "several fields have the name 'answer'"),
        ({**PLAIN, "gold_label": "B"},
         "there is no answer among the fields .'question', 'options', 'gold_label'.: take a part "
         "of the benchmark with answers, or call its field 'answer_index'"),
        ({**LETTERED, "B": ""}, "options in a, c, d, but not in those before or between them"),
        ({"question": "Q?", "mc2_targets": {"x": 1, "y": 1, "z": 0}},
         "expected exactly one right option, got 2"),
        ({"question": "Q?", "options": ["a", "b"], "mc1_targets": {}}, "list of options in .*mc1"),
        ({"question": "Q?", "mc1_targets": ["a", "b"]}, "expected exactly one right option, got 0"),
        ({"question": "Q?", "correct_answer": "", "distractor1": "a", "distractor2": "b"},
         "the field 'correct_answer' is empty"),
        ({"question": "Q?", "Correct Answer": None,
          **{f"Incorrect Answer {n}": one for n, one in zip("123", "abc", strict=True)}},
         "the field 'correct_answer' is empty"),
        ({"text": "Q?", "correct": "a"},
         "can't tell a question and its options by the fields .'text', 'correct'.: expected "),
        (["Q?", "a", "b"], "expected a JSON object, got list"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, row, message):
    path = write(tmp_path / "q.json", [row])
    with pytest.raises(
        RoleLensError, match=r"q\.json, row 1: .*" + message.removeprefix("row 1: ")
    ):
        load_questions(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.json", "", "holds no questions"),
        ("q.csv", "", "holds no questions"),
        ("q.csv", "question,A,B,answer\n", "holds no questions"),
        ("q.json", "[]", "holds no questions"),
        ("q.parquet", b"", r"can't read .*q\.parquet as parquet"),
        ("q.parquet", b"version https://git-lfs", r"can't read .*q\.parquet as parquet"),
        ("q.arrow", b"nothing", r"can't read .*q\.arrow as arrow"),
        ("q.json", '[{"question": "Q?",\n "choices" ["a"]}]', r"q\.json, line 2: not valid JSON"),
        ("q.json", "{}", "holds no questions"),
        ("q.json", '{"name": "x"}', "can't tell a question .* by the fields \\['name'\\]"),
        ("q.json", json.dumps({"train": ROWS, "test": ROWS}),
         r"several lists \(train, test\): write each to a file of its own"),
        ("q.json", json.dumps({"question": ["Q?", "R?"], "choices": [["a", "b"]]}),
         "columns of different lengths"),
        ("q.csv", "question,A,B,answer\nQ?,a,b,B\nQ, or R?,a,b,B\n",
         r"q\.csv, line 3: expected 4 cells as in the first line, got 5"),
        ("q.csv", 'question,A,B,answer\nQ?,"a,b,B\n', r"line 2: unexpected end of data"),
        ("q.csv", 'question,A,B,answer\n"Q\n?",a,b,\n', r"q\.csv, line 2: there is no answer"),
        ("q.csv", "Question,A,a,Answer\nQ?,x,y,A\n", "line 1: several columns have the name 'a'"),
        ("q.csv", "\n,,\nQuestion,A,a,Answer\nQ?,x,y,A\n", "line 3: several columns have the"),
        ("q.json", json.dumps([{**LIST, "answer": "9" * 5000}]), "row 1: expected an index"),
        ("q.csv", "Q?,a,b,c,B\n", "can't tell a question .* by the fields .'column_1_of_5'"),
        ("q.csv", "Q,a,b,c,d,key\n", r"line 1: expected an index from 0 to 3, .* got 'key'"),
        ("q.csv", "Frage;A;B;Antwort\nWas?;a;b;B\n".encode("utf-16-le"), "is no text, or UTF-16"),
        ("q.csv", "question,A,B,answer\nCafé?,a,b,B\n".encode("latin-1"),
         r"q\.csv, line 2: not UTF-8 text .* save the file as UTF-8"),
        ("q.csv", "question,choices,answer\nQ?,a or b,0\n", "expected a list of .* got 'a or b'"),
        ("q.xlsx", b"PK\x03\x04\xff", r"not UTF-8 text .* ends in \.jsonl, \.json, \.csv"),
        ("q.jsonl", lines([ROWS[0], {**ROWS[0], "answer": "x"}]), r"q\.jsonl, line 2: expected an"),
        ("q.jsonl", lines([ROWS[0], {"question": "Q?", "answer": 1}]),
         r"line 2: expected a list of options in the field 'choices', got None"),
    ],
)  # fmt: skip
def test_files_that_are_refused(tmp_path, name, content, message):
    with pytest.raises(RoleLensError, match=message):
        load_questions(write(tmp_path / name, content))


def test_hidden_files_are_passed_over(tmp_path):
    write(tmp_path / "q.jsonl", ROWS)
    for name in (
        *("._q.jsonl", ".q.jsonl.swp", ".~lock.q.csv#", "~$q.csv", "q~.jsonl", ".DS_Store"),
        *("q.jsonl~", "#q.jsonl#", "README.md", ".hidden/q.jsonl", "old.jsonl/q.jsonl"),
    ):
        write(tmp_path / name, b"\x00\x05\x16\x07\xb0")
    (tmp_path / ".#q.jsonl").symlink_to("user@host.1")  # as Emacs locks a file
    questions, said = read(tmp_path)
    assert (len(questions), said) == (2, [])
    assert (
        len(load_questions(write(tmp_path / ".mine.jsonl", ROWS))) == 2
    )  # if it is named, it is read


def test_what_holds_no_questions_is_left_out_and_named(tmp_path):
    write(tmp_path / "q.jsonl", ROWS)
    write(tmp_path / "dataset_info.json", json.dumps({"splits": {"test": {"n": 2}}}))
    write(tmp_path / "scores.csv", "patch,question_id\nnone,q:1\n")
    questions, said = read(tmp_path)
    assert len(questions) == 2
    assert [one.split(": ")[0] for one in said] == ["left out"] * 2
    assert "dataset_info.json, line 1: can't tell a question" in said[0]
    (tmp_path / "q.jsonl").unlink()
    with pytest.raises(RoleLensError, match=r"dataset_info\.json, line 1: can't tell a question"):
        load_questions(tmp_path)


@pytest.mark.parametrize(
    ("load", "name", "content"),
    [
        (load_questions, "q.jsonl", ROWS),
        (load_numeric_questions, "q.json", [{"question": "Two?", "answer": 2}]),
        (load_roles, "nurse.txt", "Pulse?"),
    ],
)
def test_warnings_name_the_line_that_called(tmp_path, load, name, content):
    write(tmp_path / name, content)
    write(tmp_path / "notes.json", '{"name": "x"}')
    with pytest.warns(UserWarning, match=r"left out: .*notes\.json, line 1: ") as said:
        load(tmp_path)
    assert [one.filename for one in said] == [__file__]


def test_folders(tmp_path):
    write(tmp_path / "test" / "notes.md", "")
    for message in (r"holds no question file, whose name ends in \.jsonl", "can't tell a question"):
        with pytest.raises(RoleLensError, match=f"{message}.*; it has folders, .*'test'"):
            load_questions(tmp_path)
        write(tmp_path / "dataset_dict.json", '{"splits": {"test": 1}}')
    (tmp_path / "dataset_dict.json").unlink()
    write(tmp_path / "q.jsonl", ROWS)
    write(tmp_path / "q.parquet", ROWS)
    with pytest.raises(RoleLensError, match=r"q\.parquet and q\.jsonl have the same name: remove"):
        load_questions(tmp_path)


def test_parts_of_one_set_are_of_one_subject(tmp_path):
    for n, row in enumerate(ROWS):
        write(tmp_path / f"test-0000{n}-of-00002.parquet", [{**row, "subject": None}])
    questions = load_questions(tmp_path, subject="test")
    assert [one.id for one in questions] == ["test-00000-of-00002:1", "test-00001-of-00002:1"]
    assert {one.domain for one in questions} == {"test"}


def test_ids_that_are_there_twice_are_told(tmp_path):
    write(tmp_path / "a.jsonl", [{**ROWS[0], "id": 1}])
    write(tmp_path / "b.jsonl", [{**ROWS[1], "id": 1}, {**ROWS[1], "id": 2}])
    questions, said = read(tmp_path)
    assert [one.id for one in questions] == ["1", "1", "2"]
    assert said == [
        "some ids belong to several questions, such as '1': tables of scores tell questions apart "
        "by their ids"
    ]


@pytest.mark.parametrize("missing", [None, "", " ", float("nan")])
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_missing_names(tmp_path, missing, ending):
    row = {**ROWS[0], "subject": missing, "domain": missing, "id": missing}
    (question,), _ = read(write(tmp_path / f"q{ending}", [row]))
    assert (question.id, question.subject, question.domain) == ("q:1", "q", "q")


def test_names_in_any_form_of_unicode(tmp_path):
    """macOS writes an accent in the name of a file as a letter of its own."""
    parts = unicodedata.normalize("NFD", "médecine")
    path = write(tmp_path / f"{parts}.jsonl", [{**ROWS[0], "subject": None}])
    for wanted in (parts, "médecine"):
        (question,) = load_questions(path, domain=wanted, subject=wanted)
        assert (question.domain, question.subject, question.id) == ("médecine",) * 2 + (
            "médecine:1",
        )
    assert list(sample_by_domain([question], [parts], 1)) == ["médecine"]
    assert home_domains({"nurse": parts})["nurse"] == "médecine"
    row = {"question": "Two?", "answer": 2, "domain": parts}
    assert len(load_numeric_questions(write(tmp_path / "n.jsonl", [row]), domain="médecine")) == 1


SUMS = [{"question": "Six sevens?", "answer": "6 * 7 = 42\n#### 42"},
        {"question": "A lot?", "answer": "#### 1,200"}]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.jsonl", SUMS),
        ("s.json", SUMS),
        ("s.parquet", SUMS),
        ("s.csv", as_csv(SUMS)),
        ("s.tsv", as_csv(SUMS, delimiter="\t")),
        ("s.csv", as_csv(SUMS, delimiter=";")),
        ("s.json", json.dumps({"examples": [{"Question": "Six sevens?", "Final Answer": 42},
                                            {"Question": "A lot?", "Final Answer": 1200.0}]})),
        ("s.json", [{"passage": "Six", "question": "sevens?", "answer": 42, "choices": None},
                    {"question": "A lot?", "answer": 1200, "choices": [], "answers": ["1,200"]}]),
        ("s.parquet", [{"Body": "Six", "Question": "sevens?", "Answer": 42.0},
                       {"Body": None, "Question": "A lot?", "Answer": 1200.0}]),
    ],
)  # fmt: skip
def test_numeric_questions(tmp_path, name, content):
    first, second = load_numeric_questions(write(tmp_path / name, content))
    assert (first.answer, second.answer) == (42, 1200)
    assert first.question.split() == ["Six", "sevens?"]
    assert (first.subject, first.id.partition(":")[0]) == ("s", "s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "1,5"}, "row 1: .*expected a number as the answer, got '1,5'"),
        ({"answer": None}, "expected a number as the answer, got None"),
        ({"answer": float("nan")}, "expected a number"),
        ({"answer": True}, "expected a number"),
        ({"answer": "two"}, "expected a number"),
        (
            {"question": " ", "body": "Six."},
            "row 1: expected a non-empty string in .* 'question', got",
        ),
        (
            {"choices": ["3", "4"]},
            "row 1: there are options in choices: read them with load_questions",
        ),
        ({"choices": "['3', '4']"}, "there are options in choices"),
        ({"A": "3", "B": "4"}, "there are options in a, b: read them with load_questions"),
    ],
)
def test_numeric_questions_that_are_refused(tmp_path, change, message):
    path = write(tmp_path / "s.json", [{"question": "How many?", "answer": 2, **change}])
    with pytest.raises(RoleLensError, match=message):
        load_numeric_questions(path)
    with pytest.raises(RoleLensError, match="expected the fields question and answer"):
        load_numeric_questions(write(tmp_path / "t.csv", "How many?,3\n"))


def test_several_files_of_numeric_questions(tmp_path):
    write(tmp_path / "a.jsonl", [{**SUMS[0], "id": 1}])
    write(tmp_path / "b.csv", as_csv([{**SUMS[1], "id": 1}]))
    with pytest.warns(UserWarning, match="some ids belong to several questions, such as '1'"):
        assert [one.answer for one in load_numeric_questions(tmp_path)] == [42, 1200]
    write(tmp_path / "a.csv", as_csv([{**SUMS[0], "id": 1}]))
    with pytest.raises(RoleLensError, match=r"a\.jsonl and a\.csv have the same name: remove one"):
        load_numeric_questions(tmp_path)


def test_rows_of_pandas(tmp_path):
    """As they come out of a table: numpy's integers, arrays of options, floats for integers."""
    path = write(
        tmp_path / "q.parquet", [{**LIST, "answer": 1, "id": 7}, {**LIST, "answer": 2, "id": 8}]
    )
    made = [
        Question(row["id"], row["question"], row["choices"], row["answer"], "q", "q")
        for _, row in pd.read_parquet(path).iterrows()
    ]
    assert made == load_questions(path)
    frame = pd.DataFrame([{**LIST, "answer": 1}, {**LIST, "answer": None}])
    with pytest.raises(RoleLensError, match="row 2: there is no answer"):
        load_questions(write(tmp_path / "q.json", frame.to_dict("records")))
    assert type(made[0].choices[0]) is str
    assert np.array(made[0].answer).dtype.kind == "i"
