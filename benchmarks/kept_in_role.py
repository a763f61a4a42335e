"""Does a floor under the projection on a role's direction keep a drifting conversation in role?

    python benchmarks/kept_in_role.py --vectors roles.safetensors --out kept-in-role

A written conversation of twenty turns drifts from a nurse to a lawyer. At each of its turns the
model answers the user's message itself, plain and with the floor, after all that was written
before. The floor is the mean projection of the plain answers to the first five messages.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from tqdm.auto import tqdm

from role_lens import Conversation, Patch, RoleVectors, generate, load_model, load_roles
from role_lens.judges import fluency, ranks, repetition, role_likelihoods
from role_lens.models import PACKAGED_MODEL
from role_lens.reading import monitor
from role_lens.reporting import plot_conversations

IN_ROLE = 5
"""Turns at the beginning, which are in the role."""


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    vectors: Path
    """A file written by `role-lens fit`."""
    conversation: Path = Path(__file__).parents[1] / "docs" / "examples" / "drifting.json"
    """A JSON file of messages, of which the last ones leave the role."""
    role: str = "nurse"
    """The role in which it begins."""
    other: str = "lawyer"
    """The role towards which it drifts."""
    layer: int = 22
    """The layer whose input is kept above the floor."""
    contrast: str = "roles"
    """What the roles are set against in the directions."""
    max_new_tokens: int = 60
    """Longest answer."""
    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, or a local folder."""
    dtype: str = "float32"
    """Of the weights."""
    out: Path = Path("role-lens-kept-in-role")
    """Folder for the tables and the figure."""


def main(config: Config) -> None:
    """Answer every turn plain and kept, measure both, write and draw."""
    model = load_model(config.model, dtype=config.dtype)
    vectors = RoleVectors.load(config.vectors)
    written = Conversation.load(config.conversation)
    directions = {
        role: vectors.direction(role, layer=config.layer, contrast=config.contrast)
        for role in (config.role, config.other)
    }

    def answered(patch: Patch | None, what: str) -> list[str]:
        """The model's own answers to the user's messages, after what was written before."""
        asked = [
            Conversation(written.turns[:number], prompt, written.system)
            for number, (prompt, _) in enumerate(written.turns)
        ]
        return [
            str(generate(model, one, patch=patch, max_new_tokens=config.max_new_tokens))
            for one in tqdm(asked, desc=what)
        ]

    def followed(answers: list[str]) -> pd.DataFrame:
        """The projections of answers that all stand where the written ones stood."""
        rows = []
        for number, answer in enumerate(answers):
            prompt = written.turns[number][0]
            talk = Conversation((*written.turns[:number], (prompt, answer)), None, written.system)
            rows.append(monitor(model, talk, directions, layer=config.layer).iloc[[-1]])
        return pd.concat(rows, ignore_index=True)

    texts = {"written": [answer for _, answer in written.turns], "plain": answered(None, "plain")}
    tables = {name: followed(some) for name, some in texts.items()}
    floor = float(tables["plain"][config.role][:IN_ROLE].mean())
    direction = directions[config.role]
    patch = Patch.of("floor", direction, layer=config.layer, value=floor, tokens="answer")
    texts["kept"] = answered(patch, "kept")
    tables["kept"] = followed(texts["kept"])
    names = sorted(load_roles("builtin"))
    likelihoods = {name: role_likelihoods(model, some, names) for name, some in texts.items()}
    usual = np.concatenate(list(likelihoods.values())).mean(axis=0)
    for name, table in tables.items():
        found = ranks(likelihoods[name], usual)
        for role in directions:
            table[f"{role} (rank)"] = found[:, names.index(role)]
        prompts = [prompt for prompt, _ in written.turns]
        table["fluency"] = fluency(model, prompts, texts[name])
        table["repetition"] = [repetition(text) for text in texts[name]]
    config.out.mkdir(parents=True, exist_ok=True)
    whole = pd.concat([table.assign(answers=name) for name, table in tables.items()])
    whole.to_csv(config.out / "kept_in_role.csv", index=False)
    plot_conversations(tables, config.out / "kept_in_role.png", list(directions))
    whole["part"] = (whole["turn"] > len(written.turns) // 2).map({False: "first", True: "last"})
    numbers = [column for column in whole if pd.api.types.is_numeric_dtype(whole[column])]
    shown = [column for column in numbers if "drift" not in column and column != "turn"]
    print(f"floor: {floor:.2f}")
    print(whole.groupby(["answers", "part"], sort=False)[shown].mean().round(2).T.to_string())
    for number in [one for one in (1, 10, 15, 20) if one <= len(written.turns)]:
        print(f"\n{number}. {written.turns[number - 1][0]}")
        for name in texts:
            print(f"  {name}: {texts[name][number - 1]}")


if __name__ == "__main__":
    main(tyro.cli(Config))
