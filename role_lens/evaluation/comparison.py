"""Does a role vector help? Chosen on some questions, tested on others, beside its controls.

Knows the order of things; what each of them is, the other files know.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.activations import activations_at
from role_lens.errors import RoleLensError
from role_lens.evaluation.cells import write_parquet
from role_lens.evaluation.condition_scores import score_conditions
from role_lens.evaluation.conditions import (
    baseline,
    judged_conditions,
    other_conditions,
    random_conditions,
)
from role_lens.evaluation.controls import persona_prompts, shuffled_directions
from role_lens.evaluation.domains import home_domains
from role_lens.evaluation.grid import Grid
from role_lens.evaluation.judgement import judge, summary
from role_lens.evaluation.questions import Question
from role_lens.evaluation.selection import MIN_QUESTIONS, Choice, Objective, select
from role_lens.evaluation.splits import sample_questions, split_questions, without_repeats
from role_lens.files import make_folder
from role_lens.fitting import prompts_hash
from role_lens.models import Model
from role_lens.prompts import role_name
from role_lens.role_vectors import RoleVectors
from role_lens.tokens import chat_text, encode_chat

_MIN_RANDOM = 20


def compare(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    *,
    validation: Sequence[Question] | None = None,
    domains: Mapping[str, str] | None = None,
    prompts: Mapping[str, Sequence[str]] | None = None,
    base: Sequence[str] | None = None,
    grid: Grid | None = None,
    screen: int | None = 10,
    objective: Objective = "logprob",
    max_kl: float | None = 0.1,
    leave_out_last: float | None = 0.2,
    n_random: int = _MIN_RANDOM,
    n_shuffled: int = 5,
    max_questions: int | None = None,
    max_off_domain: int | None = None,
    permutations: int = 10_000,
    seed: int = 0,
    **asking: Any,
) -> pd.DataFrame:
    """Choose a direction for each role, test it once on other questions, beside its controls.

    A role's direction is chosen by `select` on the validation questions of its own domain. With
    the choice fixed, the test questions are asked plain, with the persona prompt, with the
    direction added and ablated, with its shared and its specific part added (each at its own size
    and as long as the whole), and with random directions as long as it. In the role's own domain
    also with the other phrasings of the persona prompt, with directions from shuffled labels and
    with every other role's direction.

    Args:
        questions: those that test, of any number of domains.
        out: folder for the results; a run that was stopped goes on where it was.
        validation: those that choose; None to take half of `questions`, stratified by subject.
            Questions that are in both are dropped from these.
        domains: role -> its domain; None for the roles and domains of arXiv 2502.12055.
        prompts, base: what the vectors were fitted on, for directions from shuffled labels; None
            to go without.
        grid, screen, objective, max_kl, leave_out_last: as for `select`.
        n_random: random directions for the null band, at least 20.
        n_shuffled: directions from shuffled labels.
        max_questions: most test questions of a role's own domain, stratified by subject.
        max_off_domain: most test questions of every other domain; 0 to leave these out.
        permutations: of the sign-flip tests.
        seed: of the splits and of all random directions.
        asking: scoring, template, system, examples, max_tokens and progress, as for `evaluate`.

    Returns:
        One row per role and domain, see `role_lens.evaluation.judgement.summary`: effects (mean
        change of log p(correct), nats) side by side; for the addition an interval, p values
        adjusted for all roles and domains, and the verdict. `out` holds it as
        `comparison.parquet`, the effects of all conditions as `effects.parquet`, and what was
        chosen as `choices.parquet`.

    Raises:
        RoleLensError: a role without a domain, fewer than 20 questions of a domain to choose or
            to test (the same ones for both leave none), fewer than 20 random directions, other
            prompts than the vectors', and all that `select` and `sweep` raise.
    """
    if n_random < _MIN_RANDOM:
        raise RoleLensError(f"a null band takes at least {_MIN_RANDOM} directions, got {n_random}")
    vectors.check(model)
    grid = grid or Grid(contrasts=("base", "roles"))
    homes = _homes(vectors, grid.roles, domains)
    choosing, testing = _divide(questions, validation, homes, seed)
    tests = [
        (domain, in_domain, sample_questions(asked, limit, seed=seed))
        for in_domain, limit in ((True, max_questions), (False, max_off_domain))
        for domain, asked in testing.items()
        if limit != 0
    ]
    _check_numbers(choosing, tests, homes)
    tokens = _prompt_tokens(model, vectors, prompts, base) if n_shuffled else None
    folder = make_folder(out)
    choices: dict[str, Choice | None] = {}
    for domain, asked in choosing.items():
        choices |= select(
            model,
            vectors,
            asked,
            folder / "selection" / domain,
            replace(grid, roles=tuple(role for role in homes if homes[role] == domain)),
            screen=screen,
            objective=objective,
            max_kl=max_kl,
            leave_out_last=leave_out_last,
            **asking,
        )
    chosen = [choice for choice in choices.values() if choice is not None]
    if not chosen:
        raise RoleLensError(f"no role has a direction whose KL divergence is at most {max_kl}")
    write_parquet(pd.DataFrame(map(asdict, chosen)), folder / "choices.parquet")
    shuffled = _shuffled(model, vectors, chosen, tokens, n_shuffled, seed)
    ask_persona = _takes_system(model)
    scores = []
    for domain, in_domain, asked in tests:
        conditions = [baseline()]
        for choice in chosen:
            if (homes[choice.role] == domain) == in_domain:
                conditions += judged_conditions(vectors, choice, ask_persona=ask_persona)
                conditions += random_conditions(vectors, choice, n_random, seed)
                if in_domain:
                    own = shuffled[choice.role]
                    conditions += other_conditions(vectors, choice, own, ask_persona=ask_persona)
        if len(conditions) > 1:
            place = folder / ("in_domain" if in_domain else "off_domain") / domain
            scores.append(
                score_conditions(
                    model, asked, conditions, place, domain=domain, in_domain=in_domain, **asking
                )
            )
    effects = judge(scores, permutations=permutations, seed=seed)
    write_parquet(effects, folder / "effects.parquet")
    table = summary(effects, homes)
    write_parquet(table, folder / "comparison.parquet")
    return table


def _homes(
    vectors: RoleVectors, roles: Sequence[str] | None, domains: Mapping[str, str] | None
) -> dict[str, str]:
    """Role -> its domain, for the roles that are judged."""
    given = home_domains() if domains is None else domains
    known = {role_name(role): domain for role, domain in given.items()}
    homes = {}
    for role in roles if roles is not None else vectors.roles:
        name = vectors.roles[vectors.role_index(role)]
        if name not in known:
            raise RoleLensError(
                f"role {name!r} has no domain: name the questions that it is judged on, such as "
                f"domains={{{name!r}: 'econ'}}"
            )
        homes[name] = known[name]
    return homes


def _divide(
    questions: Sequence[Question],
    validation: Sequence[Question] | None,
    homes: Mapping[str, str],
    seed: int,
) -> tuple[dict[str, list[Question]], dict[str, list[Question]]]:
    """By domain: the questions that choose, for the roles' own domains, and those that test."""
    named = sorted({*homes.values(), *(question.domain for question in questions)})
    testing = {name: [one for one in questions if one.domain == name] for name in named}
    if validation is None:
        choosing = []
        for name, asked in testing.items():
            some, testing[name] = split_questions(asked, seed=seed)
            choosing += some
    else:
        choosing = list(validation)
    kept = without_repeats(choosing, [one for asked in testing.values() for one in asked])
    if len(kept) < len(choosing):
        warnings.warn(
            f"{len(choosing) - len(kept)} of {len(choosing)} validation questions are test "
            "questions too, and were left out of the validation",
            stacklevel=3,
        )
    homes_only = sorted(set(homes.values()))
    return {name: [one for one in kept if one.domain == name] for name in homes_only}, testing


def _check_numbers(
    choosing: Mapping[str, Sequence[Question]],
    tests: Sequence[tuple[str, bool, Sequence[Question]]],
    homes: Mapping[str, str],
) -> None:
    """Raise a RoleLensError, before any work, if there are too few questions of a domain."""
    numbers = [(domain, "validation", len(asked)) for domain, asked in choosing.items()]
    numbers += [
        (domain, "test", len(asked))
        for domain, in_domain, asked in tests
        if not in_domain or domain in homes.values()
    ]
    for domain, use, n in numbers:
        if n < MIN_QUESTIONS:
            raise RoleLensError(
                f"domain {domain!r} has {n} {use} questions, without those that are in both "
                f"parts: at least {MIN_QUESTIONS} are needed"
            )


def _prompt_tokens(
    model: Model,
    vectors: RoleVectors,
    prompts: Mapping[str, Sequence[str]] | None,
    base: Sequence[str] | None,
) -> tuple[dict[str, list[list[int]]], list[list[int]]] | None:
    """Token sequences of each role's prompts, and of the base prompts."""
    if prompts is None or base is None:
        return None
    named = {role_name(role): list(some) for role, some in prompts.items()}
    hashes = {"role_prompts_sha256": prompts_hash(named), "base_prompts_sha256": prompts_hash(base)}
    for key, value in hashes.items():
        if vectors.provenance[key] != value:
            raise RoleLensError(
                f"the vectors were fitted on other prompts ({key} differs): give those, or none"
            )
    system = vectors.provenance["system"]
    of_roles = {role: encode_chat(model, some, system) for role, some in named.items()}
    return of_roles, encode_chat(model, base, system)


def _shuffled(
    model: Model,
    vectors: RoleVectors,
    choices: Sequence[Choice],
    tokens: tuple[Mapping[str, list[list[int]]], list[list[int]]] | None,
    n: int,
    seed: int,
) -> dict[str, Float[Tensor, "n d_model"]]:
    """For each role, directions from its own and the base prompts with their labels mixed, at the
    chosen place."""
    if tokens is None:
        return {choice.role: torch.zeros((0, vectors.d_model)) for choice in choices}
    places = [(choice.layer, choice.position) for choice in choices]
    of_roles, of_base = tokens
    base = activations_at(model, of_base, places)
    directions = {}
    for place, choice in enumerate(choices):
        (own,) = activations_at(model, of_roles[choice.role], places[place : place + 1])
        directions[choice.role] = shuffled_directions(own, base[place], n, seed=seed)
    return directions


def _takes_system(model: Model) -> bool:
    """Whether the chat template takes a system message, and so a persona prompt."""
    try:
        chat_text(model, "Hello?", persona_prompts("nurse")[0])
    except RoleLensError as error:
        warnings.warn(f"no persona prompts are asked: {error}", stacklevel=3)
        return False
    return True
