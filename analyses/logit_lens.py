"""What does each direction say, layer by layer, and what does the model say with it added?

    python analyses/logit_lens.py --out logit-lens --shown lawyer nurse
    python analyses/logit_lens.py --out logit-lens --redraw

Every role's direction is read through the final norm and the unembedding, for both contrasts; is
its own name among the first of all roles' names? Then the direction is added, and the next token
is read after every block. Tokens of a few prompts are coloured by how far they lie along it.
"""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens.experiments.controls import rotated
from role_lens.judges.likelihood import ranks
from role_lens.prompts import spread
from role_lens.reading.lens import layer_logprobs, logit_lens, most_likely, name_logits
from role_lens.reading.token_view import project_tokens, views_on_one_scale
from role_lens.reporting.analysis import Results, Setup, main, place_of
from role_lens.reporting.figures import CONTRAST_STYLE, save_figure
from role_lens.reporting.report import Report
from role_lens.scoring.divergence import kl_divergence


@dataclass(frozen=True)
class Config:
    """What is read."""

    setup: Setup
    position: int = -1
    """Token position, from the end of the formatted prompt."""
    top_k: int = 8
    """Tokens of each direction."""
    layer: int | None = None
    """Layer that directions are added at, and tokens are coloured by; default: three quarters
    up."""
    coefficient: float = 2.0
    """How many times the raw direction is added; of contrast `roles`, where there are several
    roles."""
    n_prompts: int = 8
    """Base prompts that the model answers with each direction added."""
    shown: tuple[str, ...] | None = None
    """Roles whose predictions and coloured tokens are shown; default: the first two."""


def run(config: Config) -> Results:
    """Read, add, and write tables."""
    setup = config.setup
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    setup.check_prompts(vectors)  # whose first is shown
    n_layers = vectors.n_layers
    place, layer = place_of(vectors, config.position, config.layer)
    system = vectors.provenance["system"]
    shown = [vectors.roles[vectors.role_index(role)] for role in config.shown or vectors.roles[:2]]

    words, named = [], []
    for contrast in vectors.contrasts:
        for at in range(1, n_layers):
            directions = vectors.directions(contrast)[:, place, at]
            said = logit_lens(model, directions, top_k=config.top_k)
            words += [(contrast, at, r, t) for r, t in zip(vectors.roles, said, strict=True)]
            logits = name_logits(model, directions, vectors.roles).double().numpy()
            found = ranks(logits, usual=logits.mean(axis=0))
            named += [(contrast, at, r, int(found[i, i])) for i, r in enumerate(vectors.roles)]

    prompts = spread(setup.base_prompts(), config.n_prompts)
    plain = [layer_logprobs(model, prompt, system=system) for prompt in prompts]
    contrast = vectors.contrasts[-1]
    moved, predicted = [], []
    sources = {"role": vectors, "random": rotated(vectors, seed=setup.seed)}
    for role, (kind, source) in itertools.product(
        shown if setup.quick else vectors.roles, sources.items()
    ):
        patch = source.add(
            role,
            layer=layer,
            position=config.position,
            coefficient=config.coefficient,
            contrast=contrast,
        )
        for number, (prompt, before) in enumerate(zip(prompts, plain, strict=True)):
            after = layer_logprobs(model, prompt, patch, system=system)
            kl = kl_divergence(before, after)
            moved += [(role, kind, number, at, float(value)) for at, value in enumerate(kl)]
            if number == 0 and role in shown and kind == "role":
                for name, logprobs in (("plain", before), ("patched", after)):
                    some = most_likely(model, logprobs, top_k=3)
                    predicted.append(some.assign(role=role, model=name, prompt=prompt))

    own, views = setup.role_prompts(), []
    for role in shown:
        direction = vectors.direction(
            role, layer=layer, position=config.position, contrast=contrast
        )
        for kind, prompt in (("its own", own[role][0]), ("a base prompt", prompts[0])):
            view = project_tokens(model, prompt, direction, layer, system=system)
            views.append((role, contrast, kind, layer, list(view.tokens), list(view.values)))
    results = Results.of(
        config,
        model,
        vectors,
        words=pd.DataFrame.from_records(words, columns=["contrast", "layer", "role", "tokens"]),
        named=pd.DataFrame.from_records(named, columns=["contrast", "layer", "role", "rank"]),
        moved=pd.DataFrame.from_records(
            moved, columns=["role", "direction", "prompt", "layer", "kl"]
        ),
        predicted=pd.concat(predicted, ignore_index=True),
        views=pd.DataFrame.from_records(
            views, columns=["role", "contrast", "prompt", "layer", "tokens", "values"]
        ),
    )
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    tables, position = results.tables, results.record["settings"]["position"]
    named, moved = tables["named"], tables["moved"]
    contrasts = list(dict.fromkeys(named["contrast"]))
    roles = list(dict.fromkeys(named["role"]))
    patched, added = tables["views"][["layer", "contrast"]].iloc[0]
    times = f"{results.record['settings']['coefficient']:g} times its direction"
    what = f"{times} of contrast {added} added at layer {patched}"

    figure = Figure(figsize=(10, 1.6 + 0.17 * len(roles)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(contrasts), sharey=True))
    for axis, contrast in zip(axes, contrasts, strict=True):
        part = named[named["contrast"] == contrast]
        matrix = part.pivot(index="role", columns="layer", values="rank").loc[roles]
        image = axis.imshow(matrix, cmap="viridis_r", vmin=1, vmax=len(roles), aspect="auto")
        axis.set_yticks(range(len(roles)), roles, fontsize=7)
        ticks = range(0, matrix.shape[1], max(1, matrix.shape[1] // 10))
        axis.set_xticks(ticks, [str(matrix.columns[i]) for i in ticks], fontsize=7)
        axis.set(title=f"contrast {contrast}", xlabel=f"layer (position {position})")
    figure.colorbar(
        image, ax=axes.tolist(), label=f"place of its own name among {len(roles)}", shrink=0.7
    )
    save_figure(figure, folder / "names.png")

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for contrast in contrasts:
        part = named[named["contrast"] == contrast]
        first = (part["rank"] == 1).groupby(part["layer"]).mean()
        left.plot(first.index, first, **CONTRAST_STYLE[contrast])
    left.axhline(1 / len(roles), color="grey", linewidth=0.8, label="chance")
    left.set(
        xlabel=f"layer (position {position})",
        ylabel="share of roles whose own\nname comes first",
        ylim=(-0.03, 1.03),
    )
    left.legend(frameon=False, fontsize=8)
    by_role = moved.groupby(["direction", "role", "layer"])["kl"].mean()
    roles_own = by_role["role"].unstack("role")
    right.plot(roles_own.index, roles_own, color="#8aa3c8", linewidth=0.6)
    right.plot(roles_own.mean(axis=1), color="#1f3b73", label="mean over roles")
    random = by_role["random"].groupby("layer").mean()
    right.plot(random, color="black", linestyle="--", label="random directions, as long")
    right.axvline(patched, color="grey", linestyle=":", label="direction added here")
    right.set(xlabel="residual stream entering block", ylabel="KL(plain ‖ patched), nats")
    right.legend(frameon=False, fontsize=8)
    save_figure(figure, folder / "by_layer.png")

    report = Report("Logit lens", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "names.png",
        "Which place its own name takes among all roles' names, in the logits of each role's "
        "direction less their mean over roles (1 is the first).",
    )
    report.figure(
        folder / "by_layer.png",
        f"Left: how often that is the first. Right: how far a role moves the prediction read at "
        f"each layer, {what} (thin: single roles, mean over prompts; dashed: mean over as many "
        "random directions of the same lengths).",
    )
    words = tables["words"]
    last = words["layer"].max()
    for contrast in contrasts:
        part = words[words["contrast"] == contrast]
        chosen = sorted({last // 2, 3 * last // 4, last})
        wide = part[part["layer"].isin(chosen)].pivot(
            index="role", columns="layer", values="tokens"
        )
        wide = wide.loc[roles].map(lambda tokens: " ".join(map(repr, map(str, tokens))))
        report.table(
            wide.rename(columns=lambda at: f"layer {at}").reset_index(),
            f"Tokens with the highest logits of each direction, contrast {contrast}.",
        )
    for role, part in tables["predicted"].groupby("role", sort=False):
        report.table(
            _side_by_side(part[part["layer"] >= patched]),
            f"{role}: the three likeliest next tokens after {part['prompt'].iloc[0]!r}, plain and "
            f"with {what}, read at every layer from there on.",
        )
    rows = list(tables["views"].itertuples())
    views, largest = views_on_one_scale([(row.tokens, row.values) for row in rows])
    for row, view in zip(rows, views, strict=True):
        caption = (
            f"Tokens by projection on {row.role} (contrast {row.contrast}), layer {row.layer}: "
            f"{row.prompt}. Full colour: "
            f"{largest:.2g}, blue along the direction."
        )
        report.tokens(view, caption, largest)
    report.write(folder / "report.html")


def _side_by_side(predicted: pd.DataFrame) -> pd.DataFrame:
    """One row a layer, the tokens of each model in a cell."""
    shown = predicted["token"].map(repr) + predicted["logprob"].map(lambda x: f" {np.exp(x):.0%}")
    cells = shown.groupby([predicted["layer"], predicted["model"]], sort=False).agg(", ".join)
    return cells.unstack("model")[["plain", "patched"]].reset_index()


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
