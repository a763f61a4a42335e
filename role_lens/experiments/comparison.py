"""Does a role vector help? Chosen on some questions, tested on others, beside its controls.

Knows the order of things; what each of them is, the other files know.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens._run.tokens import chat_text
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.condition_scores import open_conditions, score_conditions
from role_lens.experiments.conditions import (
    baseline,
    judged_conditions,
    other_conditions,
    random_conditions,
)
from role_lens.experiments.controls import NEUTRAL_PERSONA
from role_lens.experiments.identity import hash_of_vectors
from role_lens.experiments.judgement import judge, summary
from role_lens.experiments.null_band import RandomChoice, choose_random
from role_lens.experiments.selection import (
    Objective,
    folder_of,
    select_by_domain,
    usual_grid,
    within_layers,
)
from role_lens.experiments.shuffled_labels import prompt_tokens, shuffled_by_role
from role_lens.files import make_folder, write_json, write_table
from role_lens.finders._fit import package_versions
from role_lens.models import Model, model_name
from role_lens.questions.domains import homes_among
from role_lens.questions.question import Question
from role_lens.questions.splits import (
    MIN_QUESTIONS,
    check_numbers,
    divide,
    sample_each,
    sample_questions,
)
from role_lens.vectors import RoleVectors

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
    neutral: Sequence[str] | None = None,
    n_random: int = _MIN_RANDOM,
    n_shuffled: int = 5,
    max_validation: int | None = None,
    max_questions: int | None = None,
    max_off_domain: int | None = None,
    permutations: int = 10_000,
    seed: int = 0,
    **asking: Any,
) -> pd.DataFrame:
    """Choose a direction for each role, test it once on other questions, beside its controls.

    A role's direction is chosen by `select` on the validation questions of its own domain, and
    random ones by `choose_random` from rotations of all its candidates. With the choice fixed, the
    test questions are asked plain, with the persona prompt, with the direction added and ablated,
    with its shared and its specific part added (each at its own size and as long as the whole),
    and with the random directions. In the role's own domain also with the other phrasings of the
    persona prompt and one without a role, with directions from shuffled labels and with every
    other role's direction.

    Args:
        questions: those that test, of any number of domains.
        out: folder for the results; a run that was stopped goes on where it was.
        validation: those that choose; None to take half of `questions`, stratified by subject.
            Questions that are in both are dropped from these, and repeats from either.
        domains: role -> its domain, beside those of arXiv 2502.12055.
        prompts, base: what the vectors were fitted on, for directions from shuffled labels; None
            for the built-in ones if it was these, else to go without.
        grid, screen, objective, max_kl, leave_out_last, neutral: as for `select`; a grid without
            roles takes those whose domain has questions. Random directions are chosen for log
            p(correct), which is what is judged, whatever the objective.
        n_random: random directions for the null band, at least 20. A warning names the roles for
            which fewer were within `max_kl`.
        n_shuffled: directions from shuffled labels.
        max_validation: most questions of a domain that choose, stratified by subject.
        max_questions: most test questions of a role's own domain, stratified too.
        max_off_domain: most test questions of every other domain; 0 to leave these out.
        permutations: of the sign-flip tests.
        seed: of the splits and of all random directions.
        asking: scoring (letter or cloze), template, system, examples, max_tokens and progress, as
            for `evaluate`.

    Returns:
        One row per role and domain, see `role_lens.experiments.judgement.summary`: effects (mean
        change of log p(correct), nats) side by side; for the addition an interval, adjusted p
        values, and the verdict; and what was chosen. `out` holds it as
        `comparison.parquet`, the effects of all conditions as `effects.parquet`, what was chosen as
        `choices.parquet`, and the main options as `comparison.json`.

    Raises:
        RoleLensError: a role without a domain, fewer than 20 questions of a domain to choose or
            to test (the same ones for both leave none), fewer than 20 random directions, other
            prompts than the vectors', and all that `select` and `sweep` raise.
    """
    if n_random < _MIN_RANDOM:
        raise RoleLensError(f"a null band takes at least {_MIN_RANDOM} directions, got {n_random}")
    for name, limit in (
        ("max_validation", max_validation),
        ("max_questions", max_questions),
        ("max_off_domain", max_off_domain or None),
    ):
        if limit is not None and limit < MIN_QUESTIONS:
            raise RoleLensError(
                f"choice and test take at least {MIN_QUESTIONS} questions, got {name}={limit}"
            )
    if seed < 0 or n_shuffled < 0:
        raise RoleLensError(f"seed and n_shuffled count from 0, got {seed} and {n_shuffled}")
    if permutations < 1:
        raise RoleLensError(f"at least one permutation is needed, got {permutations}")
    vectors.check(model)
    grid = grid or usual_grid(vectors)
    homes = homes_among(vectors, grid.roles, domains, (one.domain for one in questions))
    grid = replace(grid, roles=tuple(homes))
    choosing, testing = divide(questions, validation, homes, seed)
    choosing = sample_each(choosing, max_validation, seed=seed)
    tests = [
        (domain, in_domain, sample_questions(asked, limit, seed=seed))
        for in_domain, limit in ((True, max_questions), (False, max_off_domain))
        for domain, asked in testing.items()
        if any((home == domain) == in_domain for home in homes.values())
        and (in_domain or limit != 0)
    ]
    check_numbers(choosing, tests)
    tokens = prompt_tokens(model, vectors, prompts, base) if n_shuffled else None
    folder = make_folder(out)
    options: dict[str, Any] = {"max_kl": max_kl, "leave_out_last": leave_out_last}
    options |= {"neutral": neutral, **asking}
    places = [
        folder_of(folder / ("in_domain" if in_domain else "off_domain"), domain)
        for domain, in_domain, _ in tests
    ]
    for place, (_, _, asked) in zip(places, tests, strict=True):
        open_conditions(model, asked, place, **asking)  # may refuse, before the long part

    choices = select_by_domain(
        model,
        vectors,
        choosing,
        folder / "selection",
        grid,
        homes,
        screen=screen,
        objective=objective,
        **options,
    )
    random: dict[str, list[RandomChoice]] = {role: [] for role in choices}
    for domain in sorted({homes[role] for role in choices}):
        own = tuple(role for role in choices if homes[role] == domain)
        for one in choose_random(
            model,
            vectors,
            choosing[domain],
            folder_of(folder / "selection", domain),
            replace(grid, roles=own),
            n_random,
            most_tries=screen,
            seed=seed,
            **options,
        ):
            random[one.role].append(one)
    _warn_of_bands(random, n_random)
    chosen = list(choices.values())
    shuffled = shuffled_by_role(model, vectors, chosen, tokens, n_shuffled, seed)
    ask_persona = _takes_system(model)
    scores = []
    for place, (domain, in_domain, asked) in zip(places, tests, strict=True):
        conditions = [baseline()]
        for choice in chosen:
            if (homes[choice.role] == domain) == in_domain:
                conditions += judged_conditions(vectors, choice, ask_persona=ask_persona)
                conditions += random_conditions(random[choice.role])
                if in_domain:
                    mixed = shuffled[choice.role]
                    conditions += other_conditions(vectors, choice, mixed, ask_persona=ask_persona)
        if len(conditions) > 1:
            scores.append(
                score_conditions(
                    model, asked, conditions, place, domain=domain, in_domain=in_domain, **asking
                )
            )
    effects = judge(scores, permutations=permutations, seed=seed)
    made = pd.DataFrame(map(asdict, chosen))
    what = made.set_index("role")[["contrast", "layer", "position", "coefficient"]]
    table = summary(effects, homes).join(
        what.astype({"layer": "Int64", "position": "Int64"}), "role"
    )
    write_table(folder / "choices.parquet", made)
    write_table(folder / "effects.parquet", effects)
    write_table(folder / "comparison.parquet", table)
    record = {
        "model": model_name(model),
        "grid": asdict(within_layers(grid, vectors.n_layers, leave_out_last)),
        "screen": screen,
        "objective": objective,
        "max_kl": max_kl,
        "leave_out_last": leave_out_last,
        "n_random": n_random,
        "n_shuffled": n_shuffled,
        "max_validation": max_validation,
        "max_questions": max_questions,
        "max_off_domain": max_off_domain,
        "permutations": permutations,
        "seed": seed,
        "domains": homes,
        "vectors": hash_of_vectors(vectors),
        "asking": {
            key: len(value) if key == "examples" else value
            for key, value in asking.items()
            if key not in ("max_tokens", "progress")
        },
        "versions": package_versions(),
    }
    write_json(folder / "comparison.json", record)
    return table


def _warn_of_bands(random: Mapping[str, Sequence[RandomChoice]], n: int) -> None:
    """Say whose band is thinner than asked for: rotations without a direction within max_kl."""
    few = {role: len(band) for role, band in random.items() if len(band) < n}
    if few:
        found = ", ".join(f"{role} ({number})" for role, number in few.items())
        warnings.warn(
            f"fewer than {n} random directions were within max_kl, and the bands are thinner, of "
            f"{found}",
            stacklevel=3,
        )


def _takes_system(model: Model) -> bool:
    """Whether the chat template takes a system message, and so a persona prompt."""
    try:
        chat_text(model, "Hello?", NEUTRAL_PERSONA)
    except RoleLensError as error:
        warnings.warn(f"no persona prompts are asked: {error}", stacklevel=3)
        return False
    return True
