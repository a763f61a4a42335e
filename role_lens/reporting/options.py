"""Options that several commands have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from role_lens.directions import Contrast
from role_lens.errors import RoleLensError
from role_lens.models import PACKAGED_MODEL, Model, load_model
from role_lens.patches.patch import Patch, Patches
from role_lens.patches.token_masks import Kind, TokenMask
from role_lens.questions.question import Question, Template, load_questions
from role_lens.scoring.generated import Generation, Style
from role_lens.scoring.items import Scoring
from role_lens.vectors import RoleVectors

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, where, and in which precision."""

    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, a local folder, or a .gguf file."""
    device: str | None = None
    """Where the weights go, such as cpu or cuda."""
    dtype: Dtype = "float32"
    """Type of weights and activations."""

    def load(self) -> Model:
        """Load the model."""
        return load_model(self.model, self.device, self.dtype)


@dataclass(frozen=True)
class PatchOptions:
    """Which direction, and what is done with it."""

    vectors: Path
    """A file written by `role-lens fit`."""
    role: str
    """One of the roles in it."""
    layer: int
    """Layer whose input the direction was read from, and is added to."""
    position: int = -1
    """Token position, from the end of the prompt, that the direction was read from."""
    contrast: Contrast = "base"
    """Role minus base prompts, or role minus the mean of the other roles."""
    coefficient: float = 1.0
    """For add: how many times the raw direction."""
    value: float | None = None
    """For clamp and cap: the projection; default: the role prompts' mean projection."""
    tokens: TokenMask = "all"
    """Tokens that are changed: all, prompt, generated, or the last of the prompt."""

    def patch(self, vectors: RoleVectors, kind: Kind) -> Patch:
        """The patch of this kind."""
        if kind == "add":
            return vectors.add(
                self.role,
                layer=self.layer,
                position=self.position,
                coefficient=self.coefficient,
                contrast=self.contrast,
                tokens=self.tokens,
            )
        if kind == "ablate":
            return vectors.ablate(
                self.role,
                layer=self.layer,
                position=self.position,
                contrast=self.contrast,
                tokens=self.tokens,
            )
        bounded = vectors.clamp if kind == "clamp" else vectors.cap
        return bounded(
            self.role,
            layer=self.layer,
            value=self.value,
            position=self.position,
            contrast=self.contrast,
            tokens=self.tokens,
        )

    def patches(self, vectors: RoleVectors, kinds: Sequence[Kind]) -> dict[str, Patches]:
        """The unchanged model, and a patch of each kind, under names that say what they are.

        Raises:
            RoleLensError: an option that none of the kinds takes, and all that the patches raise.
        """
        if self.coefficient != 1.0 and "add" not in kinds:
            raise RoleLensError("--coefficient is for kind add; clamp and cap take --value")
        if self.value is not None and not {"clamp", "cap"} & set(kinds):
            raise RoleLensError("--value is for kinds clamp and cap; add takes --coefficient")
        named: dict[str, Patches] = {"baseline": None}
        return named | {
            f"{kind} {self.role}@{self.layer}": self.patch(vectors, kind) for kind in kinds
        }


@dataclass(frozen=True)
class QuestionOptions:
    """Which questions, and how they are asked."""

    questions: str = "builtin"
    """builtin, mmlu, or a JSONL file or folder."""
    domain: str | None = None
    """Keep only this domain."""
    split: str = "test"
    """Of MMLU."""
    scoring: Scoring | Literal["generate"] = "letter"
    """By the letter of the choice, by the text of the choice (cloze), or by the answer that the
    model writes (generate; for `evaluate` only)."""
    template: Template = "paper"
    """Layout of the question for letter scoring."""
    system: str | None = None
    """System message; default: the chat template's own."""
    examples: str | None = None
    """A JSONL file or folder of answered questions, put before each question of their subject."""

    def load(self) -> list[Question]:
        """The questions."""
        return load_questions(self.questions, domain=self.domain, split=self.split)

    def load_validation(self, source: str | None) -> list[Question] | None:
        """Questions that choose, from MMLU those of its validation split; None for None, where
        half of the others are to choose."""
        if source is None:
            return None
        split = "validation" if source == "mmlu" else self.split
        return load_questions(source, domain=self.domain, split=split)

    def asking(self) -> dict[str, Any]:
        """Keyword arguments for whatever scores questions."""
        return {
            "scoring": self.scoring,
            "template": self.template,
            "system": self.system,
            "examples": load_questions(self.examples) if self.examples is not None else (),
        }


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are written, for scoring by generated text."""

    style: Style = "direct"
    """Ask for the answer alone, or for reasoning before it (chain)."""
    max_new_tokens: int | None = None
    """Longest answer, in tokens; default: 32 (direct) or 512 (chain)."""
    temperature: float = 0.0
    """0 for greedy decoding."""
    seed: int = 0
    """Of the sampling."""
    batch_size: int = 16
    """Questions at once."""
    numeric: bool = False
    """The questions' answers are numbers, as in GSM8K; from a JSONL file."""

    def generation(self) -> Generation:
        """The same as an argument of `evaluate`."""
        return Generation(
            self.style, self.max_new_tokens, self.temperature, self.seed, self.batch_size
        )


Common = Annotated[ModelOptions, tyro.conf.arg(name="")]
Patching = Annotated[PatchOptions, tyro.conf.arg(name="")]
