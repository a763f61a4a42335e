"""Writes the cards of what is on the hub: what it is, what it does, and how to load it.

    vectors_card(vectors, "user/repo")
    patch_card(read_patches("nurse.safetensors"), "user/repo")
    baked_card(saved, "smollm2-135m-instruct")

What is known of the effect stands in them: the verdict of a comparison with its conditions, or that
there is none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import ModelCardData

from role_lens.loading.license import hub_id, license_of
from role_lens.patches.kind import KINDS
from role_lens.patches.patch_file import SavedPatches
from role_lens.patches.token_masks import meaning
from role_lens.vectors import RoleVectors
from role_lens.versions import package_versions

LICENCE = "## Licence"
_TAGS = ("activation-steering", "role-vectors", "role_lens")
_IN_A_TABLE = {
    "role": "role",
    "domain": "domain",
    "n": "questions",
    "effect": "effect",
    "excess": "more than random (90 % interval)",
    "verdict": "verdict",
}
_MARGINS = (
    "Effects are in margins: how far the right option's score stands above the wrong ones, in "
    "units of their spread."
)
_UNJUDGED = (
    "This has not been judged: whether it helps, and whether it does more than random directions, "
    "isn't known (`role-lens compare` tests it)."
)


def vectors_card(
    vectors: RoleVectors,
    repo: str,
    verdicts: pd.DataFrame | None = None,
    license: str | None = None,
) -> str:
    """The card of a file of role vectors.

    Args:
        vectors: what the file holds.
        repo: its repository, such as user/repo.
        verdicts: what a comparison found, as `judged_roles` gives; None if none was made.
        license: of the vectors; None for that of their model.

    Examples:
        >>> from role_lens.interop.cards import vectors_card
        >>> card = vectors_card(vectors, "user/verse")
        >>> "This has not been judged" in card, 'RoleVectors.load("hf://user/verse")' in card
        (True, True)
    """
    model, n = vectors.provenance.get("model"), len(vectors.roles)
    name = _name(model)
    facts = {
        "model": name,
        "roles": str(n),
        "layers": f"{vectors.n_layers}, from 0, of width {vectors.d_model}",
        "token positions": f"{', '.join(map(str, vectors.positions))}, from the end of the prompt",
        "contrasts": ", ".join(vectors.contrasts),
        "found by": str(vectors.provenance.get("finder", "means")),
        "prompts": _prompts(vectors),
    }
    load = [
        "from role_lens import RoleVectors, load_model",
        "",
        f'vectors = RoleVectors.load("hf://{repo}")',
    ]
    if (source := _source(model)) is not None:
        load += [f'model = load_model("{source}")', "vectors.check(model)"]
    return _card(
        f"Role vectors of {name}",
        model,
        license,
        f"Directions in the residual stream of {name} that stand for {n} role{'s' * (n > 1)}: "
        f"{', '.join(vectors.roles)}. They can be added to the model or ablated from it.",
        _table(facts),
        ("## What they do", _UNJUDGED if verdicts is None else _of_roles(verdicts)),
        ("## How to load them", _code("\n".join(load))),
    )


def patch_card(saved: SavedPatches, repo: str, license: str | None = None) -> str:
    """The card of the file of a patch.

    Args:
        saved: what the file holds.
        repo: its repository, such as user/repo.
        license: of the patch; None for that of its model.

    Examples:
        >>> from role_lens.interop.cards import patch_card
        >>> from role_lens.patches import SavedPatches
        >>> saved = SavedPatches((vectors.add("poet", layer=1),), {"role": "poet"})
        >>> 'read_patches("hf://user/poet")' in patch_card(saved, "user/poet")
        True
    """
    model = saved.about.get("model")
    name = _name(model)
    load = [
        "from role_lens import generate, load_model",
        "from role_lens.patches import read_patches",
        "",
        f'model = load_model("{_source(model) or "path/to/the/model"}")',
        f'patches = read_patches("hf://{repo}").patches',
        'print(generate(model, "How was your week?", patch=patches))',
    ]
    return _card(
        f"A patch of {name}{_for_role(saved.about)}",
        model,
        license,
        f"A change of the residual stream of {name} while it runs:",
        _changes(saved),
        ("## What it does", _judged(saved.about)),
        ("## How to load it", _code("\n".join(load))),
    )


def baked_card(saved: SavedPatches, source: str) -> str:
    """The card of a model with a patch in its weights.

    Args:
        saved: the patch, and what is known of it.
        source: the model that was changed, as for `load_model`.

    Examples:
        >>> from role_lens.interop.cards import baked_card
        >>> from role_lens.patches import SavedPatches
        >>> saved = SavedPatches((vectors.ablate("poet", layer=1),))
        >>> card = baked_card(saved, "smollm2-135m-instruct")
        >>> "license: apache-2.0" in card, "base_model: HuggingFaceTB/SmolLM2" in card
        (True, True)
    """
    name = _name(source)
    return _card(
        f"{name} with a patch in its weights{_for_role(saved.about)}",
        source,
        None,
        "Load it like any other model. Its weights do what this patch does:",
        _changes(saved),
        ("## What it does", _judged(saved.about)),
    )


# Parts


def _card(title: str, model: Any, license: str | None, *parts: str | tuple[str, str]) -> str:
    base, known = hub_id(model), license or license_of(model)
    data = ModelCardData(base_model=base, license=known, tags=list(_TAGS), library_name="role_lens")
    if license is not None:
        terms = licence_words(license)
    elif known is not None:
        terms = f"{known}, which is that of the model."
    else:
        terms = f"That of the model, {_name(model)}: look there."
    made = f"Made with role_lens {package_versions()['role-lens']} (arXiv 2502.12055)."
    body = [f"# {title}", *parts, (LICENCE, terms), made]
    texts = [part if isinstance(part, str) else "\n\n".join(part) for part in body]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(texts) + "\n"


def _name(model: Any) -> str:
    """The name of a model without the folders that it lies in."""
    known = hub_id(model)
    if known is not None:
        return known
    return Path(model).name if isinstance(model, str) and model else "an unnamed model"


def _source(model: Any) -> str | None:
    """What `load_model` is given for it, elsewhere too."""
    return str(model) if hub_id(model) else None


def _for_role(about: Mapping[str, Any]) -> str:
    role = about.get("role")
    return f" ({' '.join(role.split())})" if isinstance(role, str) else ""


def licence_words(license: str) -> str:
    """What stands under the heading where somebody names a licence."""
    return f"{license}. The model's own licence holds for the model."


def _prompts(vectors: RoleVectors) -> str:
    if not bool(vectors.role_counts.any()):
        return "none: the directions are another program's"
    counts = vectors.role_counts.tolist()
    several = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    return f"{several} a role, {vectors.base_count} base prompts"


def _table(facts: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in facts.items())])


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"


def _changes(saved: SavedPatches) -> str:
    """What each patch changes, one line each."""
    lines = []
    for patch in saved.patches:
        kind = KINDS[patch.kind]
        where = (
            "everywhere in the stream"
            if kind.everywhere
            else f"at what enters block {' and '.join(map(str, patch.layers))}, counted from 0"
        )
        size = f"; |d| = {float(patch.direction.norm()):.4g}" if kind.raw else ""
        value = f"; value {patch.value:g}" if kind.number else ""
        if patch.weighted:
            value += f", of which they take {', '.join(f'{one:.3g}' for one in patch.weights)}"
        gate = ""
        if patch.gate is not None:
            gate = (
                f"; only at prompts whose token {patch.gate.position}, entering block "
                f"{patch.gate.layer}, projects further than {patch.gate.threshold:.4g} on the "
                "gate's direction"
            )
        lines.append(f"- {kind.formula}, {where}, {meaning(patch.tokens)}{size}{value}{gate}")
    symbols = "x is the residual stream, d the direction in the file, u the unit vector along it"
    return "\n".join([*lines, "", f"({symbols}.)"])


def _judged(about: Mapping[str, Any]) -> str:
    """The verdict, and all else that is known: the conditions of the test, if there was one."""
    verdict, verdicts = about.get("verdict"), about.get("verdicts")
    is_one = isinstance(verdict, Mapping) and {"verdict", "n", "domain"} <= {*verdict}
    rest = {key: value for key, value in about.items() if key != "verdict" or not is_one}
    if isinstance(rest.get("model"), str):
        rest["model"] = _name(rest["model"])  # without the folders of whoever made it
    if isinstance(verdict, Mapping) and is_one:
        parts = [
            f"**{verdict.get('verdict')}** (on {verdict.get('n')} questions of "
            f"{verdict.get('domain')} that had no part in choosing it)",
            _table({key: _shown(value) for key, value in verdict.items() if key != "verdict"}),
            _MARGINS,
        ]
    elif isinstance(verdicts, list) and all(map(_is_row, verdicts)):
        parts = [
            "As it is, against the same patch with its directions turned at random, on questions "
            "that had no part in making it:",
            _verdicts(pd.DataFrame(verdicts)),
        ]
        del rest["verdicts"]
    else:
        parts = [_UNJUDGED]
    if rest:
        told = json.dumps(rest, indent=1, ensure_ascii=False)
        parts += ["What is known of it:", _code(told, "json")]
    return "\n\n".join(parts)


def _is_row(value: Any) -> bool:
    """Whether it is a row of a table of verdicts."""
    return isinstance(value, Mapping) and {*_IN_A_TABLE} - {"role"} <= {*value}


def _of_roles(table: pd.DataFrame) -> str:
    """What a comparison found, a row for each role."""
    said = "Each direction was chosen on some questions and tested once on others:"
    return f"{said}\n\n{_verdicts(table.rename(columns={'add': 'effect'}))}"


def _verdicts(table: pd.DataFrame) -> str:
    """A row for each role or domain."""
    named = {key: name for key, name in _IN_A_TABLE.items() if key in table}
    rows = [f"| {' | '.join(named.values())} |", "|---" * len(named) + "|"]
    for row in table.to_dict("records"):
        if pd.notna(row["excess"]):
            interval = f"{row['excess_low']:+.3f} to {row['excess_high']:+.3f}"
            row["excess"] = f"{row['excess']:+.3f} ({interval})"
        if pd.notna(row["effect"]):
            row["effect"] = f"{row['effect']:+.3f}"
        told = ("" if pd.isna(row[key]) else str(row[key]).replace("|", "\\|") for key in named)
        rows.append(f"| {' | '.join(told)} |")
    return "\n".join([*rows, "", _MARGINS])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
