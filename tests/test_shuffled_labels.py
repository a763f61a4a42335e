import warnings
from dataclasses import replace

import pytest
import torch
from tiny import BASE, QUIET, ROLES, tiny_bridge

from role_lens import (
    DirectionSpec,
    RoleLensError,
    RoleVectors,
    activations_at,
    encode_chat,
    load_prompts,
    load_roles,
)
from role_lens.experiments import Choice
from role_lens.experiments.controls.shuffled_labels import prompt_tokens, shuffled_by_role
from role_lens.finders._fit import prompts_hash


def test_the_prompts_of_the_fit_come_with_the_vectors(llama, vectors, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = prompt_tokens(llama, vectors)
    assert found == ({r: encode_chat(llama, p) for r, p in ROLES.items()}, encode_chat(llama, BASE))
    vectors.save(tmp_path / "v.safetensors")
    loaded = RoleVectors.load(tmp_path / "v.safetensors")
    with pytest.warns(UserWarning, match=r"no directions from shuffled labels: .*--prompts"):
        assert prompt_tokens(llama, loaded) is None
    assert prompt_tokens(llama, loaded.with_prompts(ROLES, BASE)) == found


def test_the_system_message_of_the_fit_is_before_them(llama):
    vectors = RoleVectors.fit(llama, ROLES, BASE, positions=[-1], system="Be brief.", compute=QUIET)
    found = prompt_tokens(llama, vectors)
    assert found is not None
    assert found[1] == encode_chat(llama, BASE, "Be brief.")


def test_built_in_prompts_are_found_by_themselves(vectors):
    """By their hashes in the provenance, which is all that a file of vectors tells of them."""
    model = tiny_bridge("llama", max_position_embeddings=2048)  # some prompts are long
    roles, base = load_roles("builtin"), load_prompts("builtin")
    hashes = {
        "role_prompts_sha256": prompts_hash(roles),
        "base_prompts_sha256": prompts_hash(base),
    }
    builtin = replace(vectors, provenance={**vectors.provenance, **hashes}, prompts=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = prompt_tokens(model, builtin)
    assert found is not None
    assert list(found[0]) == list(roles)
    assert found[0]["nurse"] == encode_chat(model, roles["nurse"])
    assert found[1] == encode_chat(model, base)


def test_other_prompts_are_not_taken(llama, vectors):
    merged = vectors.merge(vectors)
    assert merged.prompts is None
    other_base = RoleVectors.fit(llama, ROLES, BASE[:2], positions=[-2, -1], compute=QUIET)
    for fitted_otherwise, message in (
        (merged, "can't tell the prompts of merged vectors"),
        (other_base, r"fitted on other prompts \(base_prompts_sha256 differs\)"),
    ):
        with pytest.warns(UserWarning, match="no directions from shuffled labels"):
            assert prompt_tokens(llama, replace(fitted_otherwise, prompts=None)) is None
        with pytest.raises(RoleLensError, match=message):
            fitted_otherwise.with_prompts(ROLES, BASE)


def test_directions_are_read_where_the_choice_is(llama, vectors):
    choices = [
        Choice(DirectionSpec("cook", 1, -2), 0.0, 0.0, 0.0, 20, 1),
        Choice(DirectionSpec("poet", 2, -1, "roles"), 0.0, 0.0, 0.0, 20, 1),
    ]
    tokens = prompt_tokens(llama, vectors)
    assert tokens is not None
    found = shuffled_by_role(llama, vectors, choices, tokens, 4, 0)
    for choice in choices:
        own, base = (
            activations_at(llama, some, [(choice.spec.layer, choice.spec.position)])[0]
            for some in (tokens[0][choice.role], tokens[1])
        )
        assert found[choice.role].shape == (4, llama.cfg.d_model)
        # A difference of means of two parts of these six prompts, and of no other activations.
        both = torch.cat([own, base])
        for direction in found[choice.role]:
            span = torch.linalg.lstsq((both - both.mean(0)).T, direction[:, None])
            rebuilt = (both - both.mean(0)).T @ span.solution
            torch.testing.assert_close(rebuilt[:, 0], direction, atol=1e-4, rtol=1e-3)
    assert not torch.equal(found["cook"], found["poet"])
    without = shuffled_by_role(llama, vectors, choices, None, 4, 0)
    assert all(len(directions) == 0 for directions in without.values())
