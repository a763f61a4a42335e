import json

import numpy as np
import pytest
import torch
from tiny import HAS_HOOKED_TRANSFORMER, tiny_bridge, tiny_hooked
from transformers import AutoTokenizer

from role_lens import Patch, Question, RoleLensError, evaluate
from role_lens.interop.lm_eval import evaluate_tasks, write_task

QUESTIONS = [
    Question(f"q{i}", f"Which one is {i}?", ("a", "bc", "def")[: 2 + i % 2], i % 2, "s", "d")
    for i in range(12)
]
TASKS = ["tiny_words", "tiny_writing"]
TASK = """
task: tiny_words
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
"""
WRITING = """
task: tiny_writing
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs:
  until: ["."]
  max_gen_toks: 4
metric_list:
  - metric: exact_match
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder with two task files and their data."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"question": q.question, "choices": q.choices, "answer": q.answer} for q in QUESTIONS]
    data = folder / "words.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny_words.yaml").write_text(TASK.format(data=data))
    (folder / "tiny_writing.yaml").write_text(WRITING.format(data=data))
    return folder


@pytest.fixture
def patch(llama):
    direction = torch.randn(llama.cfg.d_model, generator=torch.Generator().manual_seed(0))
    return Patch.add(direction, layer=1, coefficient=3.0)


def hooks(model):
    return [name for name, point in model.hook_dict.items() if point.fwd_hooks]


def plain(model, task, folder, **options):
    """What a user of lm-eval alone would do."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tokenizer = AutoTokenizer.from_pretrained(model.tokenizer.name_or_path)
    lm = HFLM(pretrained=model.original_model, tokenizer=tokenizer, batch_size=8)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(lm, tasks=[task], task_manager=manager, **options)


@pytest.fixture(scope="module")
def found(tasks):
    """Both tasks under no patch and under one."""
    model = tiny_bridge("llama")
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    patches = {"baseline": None, "a / b": Patch.add(direction, layer=1, coefficient=3.0)}
    before = {task: plain(model, task, tasks) for task in TASKS}
    results = evaluate_tasks(model, TASKS, patches, include_path=tasks)
    assert not hooks(model)
    return results, before, {task: plain(model, task, tasks) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_without_a_patch_it_is_lm_eval(found, task):
    results, before, after = found
    assert results.results["baseline"]["results"][task] == before[task]["results"][task]
    assert after[task]["results"] == before[task]["results"]
    samples = before[task]["samples"][task]
    for ours, theirs in zip(results.results["baseline"]["samples"][task], samples, strict=True):
        assert ours["filtered_resps"] == theirs["filtered_resps"]
    patched = results.results["a / b"]["samples"][task]
    assert any(a["resps"] != b["resps"] for a, b in zip(patched, samples, strict=True))


def test_paired_tables(found):
    results = found[0]
    names = ["task", "doc_id", "filter", "metric", "baseline", "a / b"]
    assert list(results.samples.columns) == names
    assert len(results.samples) == 3 * len(QUESTIONS)
    samples = results.samples[results.samples["metric"] == "acc"]
    (row,) = results.effects[results.effects["metric"] == "acc"].to_dict("records")
    for name, mean in (("baseline", row["before"]), ("a / b", row["after"])):
        assert mean == results.results[name]["results"]["tiny_words"]["acc,none"]
        assert mean == pytest.approx(samples[name].mean())
    assert row["difference"] == pytest.approx(row["after"] - row["before"])
    assert row["low"] <= row["difference"] <= row["high"]


def test_written_files(found, tmp_path):
    results = found[0]
    results.write(tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["a_b.json", "baseline.json", "effects.csv", "samples.parquet"]
    written = json.loads((tmp_path / "baseline.json").read_text())
    assert written["results"] == results.results["baseline"]["results"]


def test_letters_are_scored_as_by_evaluate(llama, patch, tmp_path):
    write_task(QUESTIONS, tmp_path, "our_letters", template="mmlu")
    patches = {"baseline": None, "patched": patch}
    found = evaluate_tasks(
        llama, ["our_letters"], patches, include_path=tmp_path, apply_chat_template=True
    )
    table = evaluate(llama, QUESTIONS, patches, template="mmlu", progress=False)
    for name, ours in table.groupby("patch"):
        samples = sorted(found.results[name]["samples"]["our_letters"], key=lambda s: s["doc_id"])
        for sample, row in zip(samples, ours.itertuples(), strict=True):
            theirs = np.array([float(likelihood) for likelihood, _ in sample["filtered_resps"]])
            n = len(theirs)
            letters = np.array([row.logprob_0, row.logprob_1, row.logprob_2][:n])
            np.testing.assert_allclose(
                theirs - np.logaddexp.reduce(theirs),
                letters - np.logaddexp.reduce(letters),
                atol=1e-4,
            )
            assert sample["acc"] == row.correct


def test_hooks_are_gone_after_an_error(llama, tasks, patch, monkeypatch):
    def fail(*args, **options):
        assert hooks(llama)
        raise KeyboardInterrupt

    monkeypatch.setattr("lm_eval.simple_evaluate", fail)
    with pytest.raises(KeyboardInterrupt):
        evaluate_tasks(llama, ["tiny_words"], {"patched": patch}, include_path=tasks)
    assert not hooks(llama)


def test_refused(llama, tasks, patch, tmp_path):
    with pytest.raises(RoleLensError, match=r"knows no task 'tiny_wrods'.*tiny_words"):
        evaluate_tasks(llama, ["tiny_wrods"], {"p": patch}, include_path=tasks)
    with pytest.raises(RoleLensError, match="at least one task"):
        evaluate_tasks(llama, [], {"p": patch})
    masked = Patch.add(patch.direction, layer=1, tokens="prompt")
    with pytest.raises(RoleLensError, match="must be for all tokens"):
        evaluate_tasks(llama, ["tiny_words"], {"p": masked}, include_path=tasks)
    (tmp_path / "lost.yaml").write_text(
        TASK.format(data=tmp_path / "lost.jsonl").replace("tiny_words", "lost_words")
    )
    with pytest.raises(RoleLensError, match="can't load the tasks' data"):
        evaluate_tasks(llama, ["lost_words"], {"p": patch}, include_path=tmp_path)
    with pytest.raises(RoleLensError, match="at least one question"):
        write_task([], tmp_path, "empty")


@pytest.mark.skipif(not HAS_HOOKED_TRANSFORMER, reason="needs TransformerLens 3.9")
def test_hooked_transformers_have_no_modules_for_lm_eval(tasks):
    with pytest.raises(RoleLensError, match="a TransformerBridge"):
        evaluate_tasks(tiny_hooked("llama"), ["tiny_words"], {"b": None}, include_path=tasks)
