import json
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import HAS_HOOKED_TRANSFORMER, QUIET, tiny_bridge, tiny_hf, tiny_hooked
from transformers import AutoTokenizer

from role_lens import Asking, Patch, Question, RoleLensError, evaluate
from role_lens.interop import TaskOptions, evaluate_tasks, write_task
from role_lens.statistics import bootstrap_interval

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_tasks_only")]

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


def own(folder, **options):
    """Options of lm-eval with the task files of a folder."""
    return TaskOptions(include_path=folder, **options)


def hooks(model):
    return [name for name, point in model.hook_dict.items() if point.fwd_hooks]


def plain(model, hf_model, task, folder, **options):
    """What a user of lm-eval alone would do."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tokenizer = AutoTokenizer.from_pretrained(model.tokenizer.name_or_path)
    lm = HFLM(pretrained=hf_model, tokenizer=tokenizer, batch_size=8)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(lm, tasks=[task], task_manager=manager, **options)


@pytest.fixture(scope="module")
def found(tasks, tmp_path_factory):
    """Both tasks under no patch and under one."""
    model = tiny_bridge("llama")
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    patches = {"baseline": None, "a / b": Patch.add(direction, layer=1, coefficient=3.0)}
    before = {task: plain(model, tiny_hf("llama"), task, tasks) for task in TASKS}
    out = tmp_path_factory.mktemp("out")
    results = evaluate_tasks(model, TASKS, patches, out=out, options=own(tasks))
    assert not hooks(model)
    after = {task: plain(model, model.original_model, task, tasks) for task in TASKS}
    return results, before, after, out


@pytest.mark.parametrize("task", TASKS)
def test_without_a_patch_it_is_lm_eval(found, task):
    results, before, after, _ = found
    assert results.results["baseline"]["results"][task] == before[task]["results"][task]
    assert after[task]["results"] == before[task]["results"]
    samples = before[task]["samples"][task]
    for ours, theirs in zip(results.results["baseline"]["samples"][task], samples, strict=True):
        assert ours["filtered_resps"] == theirs["filtered_resps"]
    patched = results.results["a / b"]["samples"][task]
    assert any(a["resps"] != b["resps"] for a, b in zip(patched, samples, strict=True))


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3", "pythia", "gpt2"])
def test_other_architectures_without_a_patch(tasks, architecture):
    model = tiny_bridge(architecture)
    found = evaluate_tasks(model, ["tiny_words"], {"baseline": None}, options=own(tasks))
    untouched = plain(model, tiny_hf(architecture), "tiny_words", tasks)

    def likelihoods(results):
        samples = results["samples"]["tiny_words"]
        return np.array(
            [
                [float(r[0]) for r in s["filtered_resps"]]
                for s in samples
                if len(s["filtered_resps"]) == 2
            ]
        )

    ours, theirs = likelihoods(found.results["baseline"]), likelihoods(untouched)
    assert len(ours) == len(QUESTIONS) // 2
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 if architecture == "gpt2" else 0)


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
    change = (samples["a / b"] - samples["baseline"]).to_numpy()
    # Of the same level as p, which is two-sided.
    assert (row["low"], row["high"]) == bootstrap_interval(change, level=0.95)


def test_written_files(found):
    results, *_, out = found
    names = sorted(file.name for file in out.iterdir())
    assert names == [
        "a_b.json",
        "a_b.samples.jsonl",
        "baseline.json",
        "baseline.samples.jsonl",
        "effects.csv",
        "identity.json",
        "samples.parquet",
    ]
    written = json.loads((out / "baseline.json").read_text())
    assert written["results"] == results.results["baseline"]["results"]
    assert json.loads((out / "a_b.json").read_text())["role_lens"]["patches"][0]["layers"] == [1]
    assert len((out / "a_b.samples.jsonl").read_text().splitlines()) == 2 * len(QUESTIONS)


@contextmanager
def passes(model, stop=False):
    """A list that tells of every pass through the model whether a patch was on it.

    Args:
        stop: interrupt the first pass with a patch.
    """
    made = []

    def look(*args):
        if stop and hooks(model):
            raise KeyboardInterrupt
        made.append(bool(hooks(model)))

    # A hook of torch's: those of TransformerLens are refused.
    handle = model.original_model.register_forward_pre_hook(look)
    try:
        yield made
    finally:
        handle.remove()


def test_a_stopped_run_goes_on(llama, tasks, patch, tmp_path):
    patches = {"baseline": None, "patched": patch}

    def run(patches, out=tmp_path):
        return evaluate_tasks(llama, ["tiny_words"], patches, out=out, options=own(tasks))

    with passes(llama, stop=True) as made, pytest.raises(KeyboardInterrupt):
        run(patches)
    assert made
    assert (tmp_path / "baseline.json").exists()
    assert not hooks(llama)
    with passes(llama) as made:
        again = run(patches)
    assert made
    assert all(made)  # nothing but the patched part is run
    fresh = run(patches, out=None)
    pd.testing.assert_frame_equal(again.effects, fresh.effects)
    pd.testing.assert_frame_equal(again.samples, fresh.samples)
    with passes(llama) as made:
        run(patches)
    assert not made
    for others in ({"baseline": None}, {"baseline": patch, "patched": patch}):
        with (
            passes(llama) as made,
            pytest.raises(RoleLensError, match=r"differs in patch(es| baseline) \("),
        ):
            run(others)
        assert not made
    assert run(patches).samples.equals(fresh.samples)


def test_other_runs_are_refused_by_what_differs(llama, tasks, tmp_path):
    """Other questions in the same task file, other options, another chat template, another model, a
    model with hooks."""
    folder, out = tmp_path / "tasks", tmp_path / "out"
    chat = {"apply_chat_template": True}

    def run(model=llama, tasks=("ours",), include_path=folder, **options):
        how = own(include_path, **{**chat, **options})
        return evaluate_tasks(model, tasks, {"baseline": None}, out=out, options=how)

    write_task(QUESTIONS, folder, "ours")
    first = run()
    write_task(QUESTIONS[:5], folder, "ours")
    with pytest.raises(RoleLensError, match=r"another run, which differs in documents \("):
        run()
    write_task(QUESTIONS, folder, "ours")
    for options in ({"limit": 3}, {"apply_chat_template": False}, {"gen_kwargs": "top_k=3"}):
        (name,) = options
        with pytest.raises(RoleLensError, match=rf"differs in option {name} \(.* there, .* here\)"):
            run(**options)
    with pytest.raises(
        RoleLensError, match=r"differs in tasks \(\['ours'\] there, \['tiny_words'\]"
    ):
        run(tasks=["tiny_words"], include_path=tasks)
    with pytest.raises(RoleLensError, match="differs in weights"):
        run(tiny_bridge("llama", seed=4))
    with (
        Patch.add(torch.ones(llama.cfg.d_model), layer=1).on(llama),
        pytest.raises(RoleLensError, match="carries hooks"),
    ):
        run()
    template = llama.tokenizer.chat_template
    llama.tokenizer.chat_template = "{{ messages[0].content }}!"
    try:
        with pytest.raises(RoleLensError, match="differs in tokenizer"):
            run()
        elsewhere = evaluate_tasks(
            llama, ["ours"], {"baseline": None}, options=own(folder, apply_chat_template=True)
        )
    finally:
        llama.tokenizer.chat_template = template

    def responses(found):
        return [sample["filtered_resps"] for sample in found.results["baseline"]["samples"]["ours"]]

    assert responses(elsewhere) != responses(first)
    assert run(batch_size=2).samples.equals(first.samples)  # it makes no difference


def test_other_versions_are_another_run(llama, tasks, tmp_path):
    def run():
        options = own(tasks, limit=2)
        evaluate_tasks(llama, ["tiny_words"], {"b": None}, out=tmp_path, options=options)

    run()
    record = tmp_path / "identity.json"
    kept = json.loads(record.read_text())
    for name in ("lm-eval", "transformers"):
        record.write_text(json.dumps({**kept, f"version of {name}": "0.0"}))
        with pytest.raises(RoleLensError, match=rf"differs in version of {name} \('0.0' there"):
            run()


def test_damaged_results_are_made_again(llama, tasks, tmp_path):
    def run():
        options = own(tasks, limit=2)
        return evaluate_tasks(llama, ["tiny_words"], {"b": None}, out=tmp_path, options=options)

    fresh = run()
    for name in ("b.json", "b.samples.jsonl"):
        (tmp_path / name).write_text('{"cut')
        pd.testing.assert_frame_equal(run().samples, fresh.samples)
    (tmp_path / "b.samples.jsonl").unlink()
    pd.testing.assert_frame_equal(run().samples, fresh.samples)


def test_other_examples_are_another_run(llama, tasks, tmp_path):
    """Examples come from a split of their own."""
    shots = tmp_path / "shots.jsonl"
    text = TASK.format(data=tasks / "words.jsonl").replace("tiny_words", "with_examples")
    text = text.replace("test_split:", "fewshot_split: train\ntest_split:")
    text = text.replace("    test:", f"    train: {shots}\n    test:")
    (tmp_path / "with_examples.yaml").write_text(text)

    def prompt(choices, out):
        shots.write_text(json.dumps({"question": "What?", "choices": choices, "answer": 0}) + "\n")
        options = own(tmp_path, num_fewshot=1)
        found = evaluate_tasks(
            llama, ["with_examples"], {"b": None}, out=tmp_path / out, options=options
        )
        return str(found.results["b"]["samples"]["with_examples"][0]["arguments"])

    assert "first" in prompt(["first", "x"], "one")
    with pytest.raises(RoleLensError, match="differs in documents"):
        prompt(["second", "x"], "one")
    assert "second" in prompt(["second", "x"], "other")


def test_numbers_of_numpy_survive_the_folder(llama, patch, tmp_path):
    rows = "".join(json.dumps({"question": q.question}) + "\n" for q in QUESTIONS)
    (tmp_path / "words.jsonl").write_text(rows)
    (tmp_path / "numbers.py").write_text(
        "import numpy as np\n"
        "def score(doc, results):\n"
        "    return {'size': np.float32(results[0][0]), 'count': np.int64(1)}\n"
    )
    (tmp_path / "tiny_numbers.yaml").write_text(
        "task: tiny_numbers\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/words.jsonl}}}}\n"
        "test_split: test\noutput_type: loglikelihood\n"
        "doc_to_text: '{{question}}'\ndoc_to_target: ' yes'\n"
        "process_results: !function numbers.score\n"
        "metric_list:\n"
        "  - {metric: size, aggregation: mean, higher_is_better: true}\n"
        "  - {metric: count, aggregation: mean, higher_is_better: true}\n"
    )
    patches = {"baseline": None, "patched": patch}
    options = {"out": tmp_path / "out", "options": own(tmp_path)}
    fresh = evaluate_tasks(llama, ["tiny_numbers"], patches, **options)
    assert len(fresh.samples) == 2 * len(QUESTIONS)
    (tmp_path / "out" / "patched.json").unlink()
    for _ in range(2):  # one patch resumed, then both
        again = evaluate_tasks(llama, ["tiny_numbers"], patches, **options)
        pd.testing.assert_frame_equal(again.samples, fresh.samples)
        pd.testing.assert_frame_equal(again.effects, fresh.effects)


def test_groups(llama, tasks, patch, tmp_path):
    (tmp_path / "both.yaml").write_text(
        "group: tiny_both\ntask: [tiny_words, tiny_again]\n"
        "aggregate_metric_list:\n  - metric: acc\n"
    )
    (tmp_path / "more.yaml").write_text("group: tiny_more\ntask: [tiny_both]\n")
    rows = (tasks / "words.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "half.jsonl").write_text("".join(rows[:6]))
    for name, file in (("tiny_words", tasks / "words.jsonl"), ("tiny_again", "half.jsonl")):
        text = TASK.format(data=tmp_path / file).replace("tiny_words", name)
        (tmp_path / f"{name}.yaml").write_text(text)
    patches = {"baseline": None, "patched": patch}
    found = evaluate_tasks(llama, ["tiny_more"], patches, options=own(tmp_path))
    rows = found.effects[found.effects["metric"] == "acc"].set_index("task")
    sizes = {"tiny_words": 12, "tiny_again": 6, "tiny_both": 18, "tiny_more": 18}
    assert rows["n"].to_dict() == sizes
    change = (found.samples["patched"] - found.samples["baseline"])[
        found.samples["metric"] == "acc"
    ]
    for group in ("tiny_both", "tiny_more"):
        assert rows.loc[group, "difference"] == pytest.approx(change.mean())


def test_processed_weights_stay_as_they_are(tasks):
    """HFLM ties weights that TransformerLens has made different."""
    model = tiny_bridge("gpt2")
    model.enable_compatibility_mode()
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(tokens)
        evaluate_tasks(model, ["tiny_words"], {"baseline": None}, options=own(tasks))
        assert torch.equal(model(tokens), before)
    assert "tie_weights" not in vars(model.original_model)


def test_letters_are_scored_as_by_evaluate(llama, patch, tmp_path):
    write_task(QUESTIONS, tmp_path, "our_letters", template="mmlu")
    patches = {"baseline": None, "patched": patch}
    options = own(tmp_path, apply_chat_template=True)
    found = evaluate_tasks(llama, ["our_letters"], patches, options=options)
    table = evaluate(llama, QUESTIONS, patches, asking=Asking(template="mmlu"), compute=QUIET)
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


def test_hooks_are_gone_after_an_error(llama, tasks, patch):
    with passes(llama, stop=True) as made, pytest.raises(KeyboardInterrupt):
        evaluate_tasks(llama, ["tiny_words"], {"patched": patch}, options=own(tasks))
    assert not made  # it was patched when it was interrupted
    assert not hooks(llama)
    assert "tie_weights" not in vars(llama.original_model)


def test_refused(llama, tasks, patch, tmp_path):
    def run(names, patches, options=None):
        evaluate_tasks(llama, names, patches, options=options or own(tasks))

    with pytest.raises(RoleLensError, match=r"knows no task 'tiny_wrods'.*tiny_words"):
        run(["tiny_wrods"], {"p": patch})
    with pytest.raises(RoleLensError, match="at least one task and one patch"):
        run([], {"p": patch})
    with pytest.raises(RoleLensError, match="at least one task and one patch"):
        run(["tiny_words"], {})
    masked = Patch.add(patch.direction, layer=1, tokens="prompt")
    with pytest.raises(RoleLensError, match="must be for all tokens"):
        run(["tiny_words"], {"p": masked})
    (tmp_path / "lost.yaml").write_text(
        TASK.format(data=tmp_path / "lost.jsonl").replace("tiny_words", "lost_words")
    )
    with pytest.raises(RoleLensError, match=r"can't run lost_words: .*lost\.jsonl"):
        run(["lost_words"], {"p": patch}, own(tmp_path))
    for wrong, message in (
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"num_fewshot": -1}, "num_fewshot must be at least 0, got -1"),
        ({"batch_size": "x"}, "batch_size must be a whole number, got 'x'"),
    ):
        with pytest.raises(RoleLensError, match=message):
            own(tasks, **wrong)
    with pytest.raises(RoleLensError, match="got the string 'tiny_words'"):
        run("tiny_words", {"p": patch})
    with pytest.raises(RoleLensError, match="a name that stays different as a file name"):
        run(["tiny_words"], {"a b": patch, "a/b": patch})
    with pytest.raises(RoleLensError, match="none of task, doc_id, filter, metric; got"):
        run(["tiny_words"], {"metric": patch})
    huge = Patch.add(patch.direction, layer=1, coefficient=3e38)
    with pytest.raises(RoleLensError, match="activations are NaN or infinite"):
        run(["tiny_words"], {"p": huge})
    assert not hooks(llama)
    with pytest.raises(RoleLensError, match="at least one question"):
        write_task([], tmp_path, "empty")
    with pytest.raises(RoleLensError, match="no spaces or slashes"):
        write_task(QUESTIONS, tmp_path, "../up")


@pytest.mark.skipif(not HAS_HOOKED_TRANSFORMER, reason="needs TransformerLens 3.9")
def test_hooked_transformers_have_no_modules_for_lm_eval(tasks):
    with pytest.raises(RoleLensError, match="only a TransformerBridge, got a HookedTransformer"):
        evaluate_tasks(tiny_hooked("llama"), ["tiny_words"], {"b": None}, options=own(tasks))
