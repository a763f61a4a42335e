import warnings

import pytest
import torch
from tiny import BASE, QUIET, ROLES

from role_lens import RoleLensError, RoleVectors
from role_lens._run.activations import activations_at
from role_lens.experiments import shuffled_labels
from role_lens.experiments.selection import Choice
from role_lens.experiments.shuffled_labels import prompt_tokens, shuffled_by_role


def test_built_in_prompts_are_found_by_themselves(llama, vectors, monkeypatch):
    monkeypatch.setattr(shuffled_labels, "load_roles", lambda source: ROLES)
    monkeypatch.setattr(shuffled_labels, "load_prompts", lambda source: BASE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prompt_tokens(llama, vectors, None, None) == prompt_tokens(
            llama, vectors, ROLES, BASE
        )
    merged = vectors.merge(vectors)
    other_base = RoleVectors.fit(llama, ROLES, BASE[:2], positions=[-2, -1], compute=QUIET)
    for fitted_otherwise in (merged, other_base):
        with pytest.warns(UserWarning, match="no directions from shuffled labels"):
            assert prompt_tokens(llama, fitted_otherwise, None, None) is None
        with pytest.raises(RoleLensError, match="n_shuffled=0 goes without them"):
            prompt_tokens(llama, fitted_otherwise, ROLES, BASE)
    with pytest.raises(RoleLensError, match="both prompts and base"):
        prompt_tokens(llama, vectors, ROLES, None)


def test_directions_are_read_where_the_choice_is(llama, vectors):
    choices = [
        Choice("cook", "base", 1, -2, 1.0, 0.0, 0.0, 0.0, 20, 1),
        Choice("poet", "roles", 2, -1, 1.0, 0.0, 0.0, 0.0, 20, 1),
    ]
    tokens = prompt_tokens(llama, vectors, ROLES, BASE)
    assert tokens is not None
    found = shuffled_by_role(llama, vectors, choices, tokens, 4, 0)
    for choice in choices:
        own, base = (
            activations_at(llama, some, [(choice.layer, choice.position)])[0]
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
