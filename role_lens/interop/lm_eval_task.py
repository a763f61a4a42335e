"""Writes questions as an lm-eval task.

    write_task(questions, "tasks", "my_questions")    # lm_eval --include_path tasks

A task is a YAML file, and its questions beside it as JSON Lines.
"""

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.files import atomic_write, make_folder, write_json
from role_lens.questions.question import LETTERS, Question, Template, question_text


def write_task(
    questions: Sequence[Question], folder: str | Path, name: str, *, template: Template = "paper"
) -> Path:
    """Write questions as an lm-eval task that scores the letters of the options.

    With `apply_chat_template=True` the prompts are those of `evaluate` with `Asking("letter")`, and
    so are the letters, unless the template puts a space before an answer, which lm-eval leaves out.
    The task names its data by an absolute path: in a folder that was moved it has to be written
    again.

    Args:
        questions: multiple-choice questions.
        folder: where both files are written; made if there is none.
        name: the task's, without spaces or slashes.
        template: layout of a question with its letters: of arXiv 2502.12055 (`paper`), or of MMLU
            (`mmlu`).

    Returns:
        The YAML file; its folder is the `include_path` of `TaskOptions`.

    Raises:
        RoleLensError: no questions, a name with spaces or slashes, a question with more options
            than there are letters, an unknown template, or a folder that can't be written to.

    Examples:
        >>> from role_lens.interop import write_task
        >>> file = write_task(questions, folder / "tasks", "mine")
        >>> sorted(path.name for path in file.parent.iterdir())
        ['mine.jsonl', 'mine.yaml']
    """
    if not questions:
        raise RoleLensError("a task needs at least one question")
    if re.search(r"[/\\\s]", name) or not name.strip("."):
        raise RoleLensError(f"a task's name holds no spaces or slashes, got {name!r}")
    out = make_folder(folder)
    rows = [
        {
            "id": question.id,
            "text": question_text(question, template),
            "letters": list(LETTERS[: len(question.choices)]),
            "answer": question.answer,
        }
        for question in questions
    ]
    data = out.absolute() / f"{name}.jsonl"
    with atomic_write(data) as temporary:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        temporary.write_text(text, encoding="utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": glob.escape(str(data))}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "letters",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    file = out / f"{name}.yaml"
    write_json(file, task)  # JSON is YAML
    return file
