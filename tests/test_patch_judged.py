"""A patch is judged as it is: one that helps is found, and one that knows nothing isn't."""

import json
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from conftest import build
from tiny import QUIET

from role_lens import Asking, Exam, Patch, Question, RoleLensError, TestPlan
from role_lens.cli import main
from role_lens.experiments import Learning, judge_patch, learn_addition
from role_lens.interop import contents_for
from role_lens.patches import read_patches, write_patches
from role_lens.scoring import Asker

PLAN = TestPlan(judge_all=True, permutations=1000)
CLOZE = Asking("cloze")
pytestmark = pytest.mark.filterwarnings("ignore:the unchanged model's answers carry no knowledge")
WORDS = ["salt", "rhyme", "ode", "stew", "tea", "lunch", "boil", "scan"]


def made_questions(n, domain="verse"):
    draw = torch.Generator().manual_seed(3)
    firsts = torch.randint(0, 6, (n,), generator=draw).tolist()
    return [
        Question(
            f"{domain}{i}",
            f"What is number {i} of {domain}?",
            tuple(WORDS[(first + step) % 8] for step in range(3)),
            i % 3,
            "s",
            domain,
        )
        for i, first in enumerate(firsts)
    ]


@pytest.fixture(scope="module")
def questions():
    return [*made_questions(24), *made_questions(24, "food")]


def test_what_helps_is_more_than_random(llama, questions, tmp_path):
    """An addition that was learned on these very questions, as no honest one is."""
    asked = Asker(llama, CLOZE, QUIET).ask(questions)
    learning = Learning(steps=12)
    best = learn_addition(asked, tmp_path / "learned", layer=1, length=4.0, learning=learning)
    exam = Exam(questions, asking=CLOZE)
    table = judge_patch(llama, best, exam, tmp_path / "run", PLAN, QUIET).set_index("domain")
    assert table.index.tolist() == ["food", "verse"]
    assert table["n_random"].tolist() == [20, 20]
    assert (table["excess"] > 0).all()
    assert table["verdict"].str.startswith("more than random by").any()
    effects = pd.read_parquet(tmp_path / "run" / "effects.parquet")
    random = effects[effects["kind"] == "random"].groupby("domain")["effect"].mean()
    pd.testing.assert_series_equal(
        table["effect"] - random, table["excess"], check_names=False, rtol=1e-9
    )


@pytest.mark.parametrize("kind", ["add", "ablate", "clamp", "both"])
def test_one_of_many_random_patches_is_nothing_special(llama, questions, kind, tmp_path):
    d = torch.randn(2, 32, generator=torch.Generator().manual_seed(5))
    patches = {
        "add": Patch.add(d[0], layer=(1, 2)),
        "ablate": Patch.ablate(d[0], tokens="not_first"),
        "clamp": Patch.clamp(d[0], layer=1, value=2.0),
        "both": (Patch.add(d[0], layer=1), Patch.ablate(d[1])),
    }[kind]
    exam = Exam(questions[:24], asking=CLOZE)
    table = judge_patch(llama, patches, exam, tmp_path / "run", PLAN, QUIET)
    row = table.iloc[0]
    assert row["p_more"] > 0.05
    assert row["p_less"] > 0.05
    assert row["verdict"].startswith(("can't be told from random", "no more than random"))


def test_a_test_that_was_stopped_goes_on(llama, questions, tmp_path, monkeypatch):
    exam, patch = Exam(questions, asking=CLOZE), Patch.add(torch.ones(32), layer=1)
    whole = judge_patch(llama, patch, exam, tmp_path / "whole", PLAN, QUIET)
    folder = tmp_path / "stopped"
    judge_patch(llama, patch, exam, folder, PLAN, QUIET)
    for part in sorted(folder.glob("in_domain/food/parts/*.parquet"))[::2]:
        part.unlink()
    (folder / "patch.parquet").unlink()
    pd.testing.assert_frame_equal(judge_patch(llama, patch, exam, folder, PLAN, QUIET), whole)
    wider = judge_patch(llama, patch, exam, folder, replace(PLAN, n_random=25, bound=9.0), QUIET)
    assert wider["n_random"].tolist() == [25, 25]
    other = Patch.add(torch.ones(32), layer=2)
    with pytest.raises(RoleLensError, match="patches"):
        judge_patch(llama, other, exam, folder, PLAN, QUIET)


def test_where_nothing_is_known_nothing_is_judged(llama, questions, tmp_path):
    exam, patch = Exam(questions[:24], asking=CLOZE), Patch.add(torch.ones(32), layer=1)
    table = judge_patch(llama, patch, exam, tmp_path / "run", TestPlan(), QUIET)
    assert table["verdict"].item() == (
        "the model's answers carry no knowledge here; nothing to judge"
    )
    assert table["n_random"].item() == 0  # and the long part was not done


def test_what_can_not_be_judged(llama, questions, tmp_path):
    patch, out = Patch.add(torch.ones(32), layer=1), tmp_path / "run"
    for given, exam, message in [
        (None, Exam(questions), "expected a patch to judge, got None"),
        (patch, Exam(questions, questions), "leave out the validation questions"),
        (patch, Exam(questions, domains={"poet": "verse"}), "leave out the domains of roles"),
        (patch, Exam(questions[:10]), "'verse' has 10 test questions.*at least 20"),
        (Patch.add(torch.ones(8), layer=1), Exam(questions), "8"),
        (Patch.add(torch.ones(32), layer=1, tokens="generated"), Exam(questions), "generated"),
    ]:
        with pytest.raises(RoleLensError, match=message):
            judge_patch(llama, given, exam, out, PLAN, QUIET)
    assert not out.exists()
    plan = TestPlan(n_other=2, learning_steps=3)
    with pytest.raises(RoleLensError, match="no such controls: leave out n_other, learning_steps"):
        judge_patch(llama, patch, Exam(questions), out, plan, QUIET)


def test_the_command(questions, tmp_path, capsys, monkeypatch):
    import role_lens.reporting.options as options

    monkeypatch.setattr(options.ModelOptions, "load", lambda _: build("llama"))
    file = tmp_path / "p.safetensors"
    write_patches(file, Patch.ablate(torch.ones(32)))
    rows = tmp_path / "q.jsonl"
    rows.write_text("".join(json.dumps(asdict(one)) + "\n" for one in questions))
    command = ["compare", "--patch", str(file), "--questions", str(rows), "--judge-all"]
    command += ["--scoring", "cloze", "--permutations", "1000", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "excess" in shown
    assert "the same patch turned at random" in shown
    written = pd.read_csv(tmp_path / "run" / "patch.csv")
    assert written["domain"].tolist() == ["food", "verse"]
    export = ["export", "--patch", str(file), "--comparison", str(tmp_path / "run")]
    assert main([*export, "--out", str(tmp_path / "judged.safetensors")]) == 0
    verdicts = read_patches(tmp_path / "judged.safetensors").about["verdicts"]
    assert [one["verdict"] for one in verdicts] == written["verdict"].tolist()
    card = contents_for(tmp_path / "judged.safetensors", "user/p")["README.md"]
    assert f"| {verdicts[0]['verdict']} |" in card
    write_patches(tmp_path / "other.safetensors", Patch.add(torch.ones(32), layer=1))
    export[2] = str(tmp_path / "other.safetensors")
    assert main([*export, "--out", str(tmp_path / "no.safetensors")]) == 2
    assert "is a test of another patch" in capsys.readouterr().err
    for extra, message in [
        (["--vectors", "v.safetensors"], "name --vectors, or a --patch in their place"),
        (["--roles", "poet"], "nothing is chosen of a patch"),
        (["--validation", "mmlu"], "nothing is chosen of a patch"),
    ]:
        assert main([*command, *extra]) == 2
        assert message in capsys.readouterr().err
