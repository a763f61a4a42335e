"""Draws what steering does to texts: how strong it may be, and how a conversation drifts.

plot_strengths(tuned.table, "strengths.png", role="lawyer")
plot_conversations({"plain": table, "kept": other}, "turns.png", ["nurse"])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from role_lens.reporting.figures import save_figure

_COSTS = {
    "kl": "KL (nats)",
    "fluency_loss": "fluency lost (nats)",
    "repetition": "repetition (share)",
    "cut_off": "cut off (share)",
}

_COLOURS = ("#1f3b73", "#d9822b", "#3a7d44", "#8c564b")


def plot_strengths(table: pd.DataFrame, path: str | Path, *, role: str | None = None) -> None:
    """Draw the role against fluency, strength by strength, and what the guards measure.

    Args:
        table: as `role_lens.tuning.Tuned` has it.
        path: the PNG file.
        role: whose rank the aim is; None where it is a score.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import plot_strengths
        >>> rows = {"strength": [0.0, 1.0], "aim": [-9.0, -2.0], "fluency_loss": [0.0, 0.3]}
        >>> rows |= {"kl": [0.0, 0.2], "repetition": [0.0, 0.1], "cut_off": [0.0, 0.0]}
        >>> table = pd.DataFrame(rows | {"broken": ["", ""], "chosen": [False, True]})
        >>> plot_strengths(table, folder / "strengths.png", role="poet")
        >>> (folder / "strengths.png").exists()
        True
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    by_rank = role is not None
    aim = -table["aim"] if by_rank else table["aim"]
    broken = table["broken"] != ""
    left.plot(table["fluency_loss"], aim, color="#a9bcd8", linewidth=1, zorder=1)
    for what, some, face in (("within", ~broken, "#1f3b73"), ("beyond", broken, "white")):
        left.scatter(
            table["fluency_loss"][some],
            aim[some],
            s=36,
            facecolor=face,
            edgecolor="#1f3b73",
            label=f"{what} the guards",
        )
    chosen = table["chosen"]
    left.scatter(
        table["fluency_loss"][chosen], aim[chosen], s=90, color="#d9822b", label="chosen", zorder=3
    )
    for strength, x, y in zip(table["strength"], table["fluency_loss"], aim, strict=True):
        left.annotate(f"{strength:.3g}", (x, y), (5, 4), textcoords="offset points", fontsize=8)
    left.set(
        title="Role against fluency, by strength",
        xlabel="fluency lost (nats per token)",
        ylabel=f"mean rank of the {role} (1: first)" if by_rank else "score",
    )
    if by_rank:
        left.invert_yaxis()
    left.legend(frameon=False, fontsize=8)
    for (name, label), style in zip(_COSTS.items(), ("-", "--", "-.", ":"), strict=True):
        right.plot(table["strength"], table[name], style, color="#1f3b73", label=label)
    if chosen.any():
        right.axvline(float(table["strength"][chosen].iloc[0]), color="#d9822b", label="chosen")
    right.set(title="What it costs", xlabel="strength")
    right.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_conversations(
    tables: Mapping[str, pd.DataFrame], path: str | Path, names: Sequence[str]
) -> None:
    """Draw how far the turns of conversations lie along directions, speaker by speaker.

    Args:
        tables: name of each conversation -> what `role_lens.reading.monitor` returns.
        path: the PNG file.
        names: of the directions, a panel for each.

    Examples:
        >>> from role_lens.reading import monitor
        >>> from role_lens.reporting import plot_conversations
        >>> talk = Conversation().said("Tea?").answered("Please.")
        >>> table = monitor(model, talk, {"poet": vectors.direction("poet", layer=1)}, layer=1)
        >>> plot_conversations({"plain": table}, folder / "turns.png", ["poet"])
        >>> (folder / "turns.png").exists()
        True
    """
    figure = Figure(figsize=(4.6 * len(names), 3.6), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(panels, names, strict=True):
        for number, (which, table) in enumerate(tables.items()):
            for speaker, line in (("assistant", "-o"), ("user", ":")):
                some = table[table["speaker"] == speaker]
                if some.empty:
                    continue
                label = speaker if len(tables) == 1 else f"{which}, {speaker}"
                axis.plot(
                    some["turn"],
                    some[name],
                    line,
                    color=_COLOURS[number % len(_COLOURS)],
                    markersize=4,
                    label=label,
                )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set(title=f"Along the {name}", xlabel="turn", ylabel="mean projection of the turn")
        axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
