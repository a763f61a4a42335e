"""Agreement with figures computed by the paper's authors' own functions."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny import QUIET

from role_lens import RoleVectors, evaluate, load_prompts, load_questions, load_roles
from role_lens.questions.question import question_text

pytestmark = pytest.mark.packaged
ROLES = {"economist": "econ", "lawyer": "law"}


@pytest.fixture(scope="module")
def vectors(packaged, reference):
    roles = {r: load_roles(reference / "roles" / f"{r}.jsonl")[r] for r in ROLES}
    base = load_prompts(reference / "base" / "alpaca_train_sample128_seed42.jsonl")
    return RoleVectors.fit(packaged, roles, base, positions=range(-5, 0), compute=QUIET)


@pytest.fixture(scope="module")
def golden(reference):
    return load_file(reference / "golden" / "directions.safetensors")


def assert_agrees(found: torch.Tensor, expected: torch.Tensor):
    # At layer 0 the same tokens have the same embeddings: these directions are exactly zero.
    zero = expected.norm(dim=-1) == 0
    assert (found[zero] == 0).all()
    found, expected = found[~zero], expected[~zero]
    cosine = torch.cosine_similarity(found, expected, dim=-1)
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert cosine.min() > 0.9999
    assert error.max() < 1e-3


def test_base_mean(vectors, golden):
    assert_agrees(vectors.base_mean, golden["mean.base"])


@pytest.mark.parametrize("role", ROLES)
def test_directions(vectors, golden, role):
    found = vectors.directions("base")[vectors.role_index(role)]
    assert_agrees(found, golden[f"direction.{role}"])


# Every fourth question is asked, and of those of law, which are long, every sixth.
EVERY = [("economist", "econ", 4), pytest.param("lawyer", "law", 6, marks=pytest.mark.long)]


@pytest.mark.parametrize(("role", "domain", "every"), EVERY)
def test_letter_scores(packaged, vectors, reference, role, domain, every):
    records = json.loads((reference / "golden" / "multiple_choice.json").read_text())
    record = next(r for r in records if r["role"] == role)
    by_text = {
        question_text(q, "paper"): q
        for q in load_questions(reference / "mmlu_domains" / f"{domain}.jsonl")
    }
    asked = record["questions"][::every]
    questions = [by_text[q["prompt"]] for q in asked]
    assert [q.answer for q in questions] == [q["answer"] for q in asked]

    patches, expected = {"baseline": None}, {"baseline": record["baseline"]}
    for entry in record["addition"]:
        name = f"add {entry['position']} {entry['layer']}"
        patches[name] = vectors.add(
            role,
            layer=entry["layer"],
            position=entry["position"],
            coefficient=entry["coefficient"],
        )
        expected[name] = entry["rows"]
    for entry in record["ablation"]:
        name = f"ablate {entry['position']} {entry['layer']}"
        patches[name] = vectors.ablate(role, layer=entry["layer"], position=entry["position"])
        expected[name] = entry["rows"]
    assert len(patches) == 1 + 6 + 2

    table = evaluate(packaged, questions, patches, compute=QUIET)
    for name, all_rows in expected.items():
        rows = all_rows[::every]
        part = table[table["patch"] == name]
        found = torch.tensor(part[[f"logprob_{i}" for i in range(4)]].to_numpy())
        wanted = torch.tensor([row["logprobs"] for row in rows], dtype=torch.float64)
        assert (found - wanted).abs().max() < 5e-3, name
        for predicted, row in zip(part["predicted"], rows, strict=True):
            best = sorted(row["logprobs"])
            assert "ABCD"[predicted] == row["selected"] or best[-1] - best[-2] < 1e-2, name
