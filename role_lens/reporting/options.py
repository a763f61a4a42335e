"""Holds options that commands and scripts share, as records from which tyro makes flags.

    ModelOptions("qwen.gguf", dtype="bfloat16").load()
    QuestionOptions(domain="econ").load()

They import nothing heavy, so that help and mistyped options are answered at once.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import role_lens as rl
from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.patches.kind import KINDS
from role_lens.questions.question import Question, Template
from role_lens.schedule import ONE
from role_lens.scoring.asking import Asking

if TYPE_CHECKING:
    from role_lens.models import Model
    from role_lens.patches import Patch, SavedPatches
    from role_lens.patches.patch import Combined
    from role_lens.vectors import RoleVectors

BASELINE = "baseline"
"""What the unchanged model is called."""
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, where, and in which precision.

    Examples:
        >>> from role_lens.reporting import ModelOptions
        >>> ModelOptions(dtype="bfloat16").model
        'smollm2-135m-instruct'
    """

    model: str = "smollm2-135m-instruct"
    """The packaged model, a Hugging Face id, a local folder, or a .gguf file."""
    device: str | None = None
    """Where the weights go, such as cpu or cuda. Without it TransformerLens chooses."""
    dtype: Dtype = "float32"
    """Type of the numbers in weights and activations."""
    tokenizer: str | None = None
    """A folder with a tokenizer, or the Hugging Face id of one, in the place of the model's own."""
    chat_template_kwargs: dict[str, str] | None = None
    """A name and a value, pair after pair, for the model's chat template, such as enable_thinking
    false. Values are read as JSON where they are JSON, else as text."""

    def load(self) -> "Model":
        """Load the model.

        Raises:
            RoleLensError: as `load_model`.
        """
        given = self.chat_template_kwargs
        kwargs = None if given is None else {name: _json(text) for name, text in given.items()}
        return rl.load_model(
            self.model, self.device, self.dtype, self.tokenizer, chat_template_kwargs=kwargs
        )


@dataclass(frozen=True)
class PatchOptions:
    """Which direction and what is done with it, or a patch from a file.

    Examples:
        >>> from role_lens.reporting.options import PatchOptions
        >>> vectors.ablate("cook", layer=2).save(folder / "no-cook.safetensors")
        >>> PatchOptions(patch=folder / "no-cook.safetensors").patches()
        {'baseline': (), 'no-cook': (Patch(ablate, tokens all, |d| 1),)}
    """

    vectors: Path | None = None
    """A file written by `role-lens fit`, here or on the hub (hf://user/repo), of which --role and
    --layer name a direction."""
    patch: Path | None = None
    """A file written by `role-lens export` or `Patch.save`, here or on the hub, in the place of
    --vectors."""
    comparison: Path | None = None
    """Run folder of `role-lens compare`: the direction is taken that it chose for --role, and its
    verdict goes with it. Of `compare --patch`: its verdicts go with that --patch."""
    role: str | None = None
    """One of the roles of the vectors."""
    layer: int | None = None
    """The layer whose input the direction was read from, counted from 0."""
    position: int = DirectionSpec.position
    """The token that the direction was read from, counted from the end of the formatted prompt: -1
    is the last."""
    contrast: str = DirectionSpec.contrast
    """What the role is set against: the `base` prompts, the other `roles`, or what another finder
    calls its contrast."""
    coefficient: float | None = None
    """How many times the raw direction; without it, once."""
    kinds: tuple[str, ...] = ("add",)
    """What is done with the direction: add, add_normed, ablate, clamp, cap, floor, rotate. Each
    kind is tried alone."""
    value: float | None = None
    """For clamp, cap and floor: the projection. Without it, the mean projection of the role's
    prompts. For rotate: the angle in degrees. Without it, that between the mean of the role's
    prompts and the same mean without the direction."""
    schedule: str = DirectionSpec.schedule
    """How an addition or rotation is shared out over the layers around --layer: one (that layer
    alone), range:W (W layers on each side) or bell:W (a standard deviation of W layers)."""
    tokens: str = "all"
    """Which tokens are changed: all, prompt, generated, last (of the prompt), answer (the last of
    the prompt and all generated), not_first, or a span such as prompt[1:4] or answer[:3]."""

    def patches(self) -> "dict[str, Combined]":
        """Patches by name: `baseline`, which is the unchanged model, and a patch of each kind, or
        what the file holds under its name.

        Raises:
            RoleLensError: neither a patch nor vectors with a role and a layer, or both; a
                coefficient or value that none of the kinds takes; a file that holds no vectors or
                no patch; and as `RoleVectors.patch`.
        """
        if self.patch is not None or self.comparison is not None:
            name = self.given("role") if self.patch is None else self.patch.stem
            name = f"{name} (patch)" if name == BASELINE else name
            return {BASELINE: (), name: self.saved().patches}
        self._check()
        vectors = rl.RoleVectors.load(self.given("vectors"))
        return {BASELINE: (), **{self.label(k): (self._patch(vectors, k),) for k in self.kinds}}

    def saved(self) -> "SavedPatches":
        """The one patch that is named, or what the file holds, with what is known of it.

        Raises:
            RoleLensError: as `patches`, and several kinds.
        """
        if self.patch is not None:
            self._refuse_but("patch", "comparison", why="--patch is all that is done")
            saved = rl.patches.read_patches(self.patch)
            if self.comparison is None:
                return saved
            return rl.experiments.with_verdicts(saved, self.comparison)
        if self.comparison is not None:
            why = "--comparison has chosen the direction"
            self._refuse_but("vectors", "role", "comparison", why=why)
            vectors = rl.RoleVectors.load(self.given("vectors"))
            return rl.experiments.judged_patch(self.comparison, vectors, self.given("role"))
        self._check()
        if len(self.kinds) > 1:
            raise RoleLensError(
                f"one kind goes into a file, got --kinds {' '.join(self.kinds)}: run once for each"
            )
        vectors = rl.RoleVectors.load(self.given("vectors"))
        one_of = self.spec if KINDS[self.kinds[0]].has_strength else self.spec.alone
        about = rl.experiments.about_direction(vectors, one_of)
        return rl.patches.SavedPatches((self._patch(vectors, self.kinds[0]),), about)

    @property
    def spec(self) -> DirectionSpec:
        """The direction that is named.

        Raises:
            RoleLensError: no role or no layer is named.
        """
        times = 1.0 if self.coefficient is None else self.coefficient
        place = self.given("role"), self.given("layer")
        return DirectionSpec(*place, self.position, self.contrast, times, self.schedule)

    def given(self, name: str) -> Any:
        """An option that has to be given.

        Raises:
            RoleLensError: it isn't.
        """
        value = getattr(self, name)
        if value is None:
            rest = "--comparison" if self.comparison is not None else "--layer"
            other = "" if self.comparison is not None else ", or a file with --patch"
            raise RoleLensError(
                f"--{name} is missing: name a direction with --vectors, --role and {rest}{other}"
            )
        return value

    def _refuse_but(self, *names: str, why: str) -> None:
        """Refuse all options but some."""
        usual = vars(PatchOptions())
        given = [f"--{k}" for k in usual if k not in names and getattr(self, k) != usual[k]]
        if given:
            raise RoleLensError(f"{why}: leave out {', '.join(given)}")

    def _check(self) -> None:
        self.given("vectors")
        if not self.kinds or len({*self.kinds}) < len(self.kinds):
            raise RoleLensError(
                f"--kinds needs at least one kind, each named once; got {list(self.kinds)}"
            )
        numbers = {kind: KINDS[kind].number for kind in self.kinds}
        takes_value = [kind for kind in KINDS if _takes_value(kind)]
        if self.value is not None and not any(map(_takes_value, self.kinds)):
            raise RoleLensError(
                f"--value is for kinds {', '.join(takes_value)}, got --kinds {' '.join(numbers)}"
            )
        if self.schedule != ONE and not all(KINDS[kind].has_strength for kind in self.kinds):
            able = [kind for kind in KINDS if KINDS[kind].has_strength]
            raise RoleLensError(
                f"--schedule is for kinds {', '.join(able)}, got --kinds {' '.join(numbers)}"
            )
        needs = {"coefficient"} if self.value is not None else {"coefficient", "value", "angle"}
        if self.spec.coefficient != 1.0 and not needs & {*numbers.values()}:
            raise RoleLensError(
                f"--coefficient is not for --kinds {' '.join(numbers)}"
                + (" with a --value" if self.value is not None else "")
            )

    def label(self, kind: str) -> str:
        """What a patch is called in tables: kind, coefficient, and the direction's address."""
        number = KINDS[kind].number
        if self.value is not None and _takes_value(kind):
            how = f"by {self.value:g} degrees" if number == "angle" else f"to {self.value:g}"
            return f"{kind} {how} {replace(self.spec, coefficient=None)}"
        return f"{kind} {self.spec if number else self.spec.alone}"

    def _patch(self, vectors: "RoleVectors", kind: str) -> "Patch":
        value = self.value if _takes_value(kind) else None
        return vectors.patch(kind, self.spec, value=value, tokens=self.tokens)


def _takes_value(kind: str) -> bool:
    """Whether --value is for this kind."""
    return KINDS[kind].number in ("value", "angle")


@dataclass(frozen=True)
class QuestionOptions:
    """Which questions, and how they are asked.

    Examples:
        >>> from role_lens.reporting import QuestionOptions
        >>> len(QuestionOptions(domain="econ").load())
        120
    """

    questions: str = "builtin"
    """builtin, mmlu, a file (JSONL, JSON, CSV, TSV, parquet, arrow), or a folder of them."""
    domain: str | None = None
    """Take only questions of this domain. Without it, all."""
    split: str = "test"
    """Which part of a benchmark such as MMLU is taken: test or validation."""
    scoring: str = Asking.scoring
    """By the letter of the option, by its text (cloze), by another file in
    `role_lens.scoring.methods`, or by the answer that the model writes (generate; for evaluate)."""
    template: Template = Asking.template
    """Layout of the question with its letters: of arXiv 2502.12055, or of MMLU."""
    system: str | None = None
    """System message. Without it, the chat template's own."""
    examples: str | None = None
    """A file or folder of answered questions, put before each question of their subject."""

    def load(self) -> list[Question]:
        """Load the questions.

        Raises:
            RoleLensError: as `load_questions`.
        """
        return rl.load_questions(self.questions, domain=self.domain, split=self.split)

    def load_validation(self, source: str | None) -> list[Question] | None:
        """Load the questions that choose a direction.

        Args:
            source: as `questions`; a benchmark's are those of its validation split. None for none:
                half of the other questions are to choose.

        Raises:
            RoleLensError: as `load_questions`.
        """
        if source is None:
            return None
        split = "validation" if source in rl.questions.SOURCES else self.split
        return rl.load_questions(source, domain=self.domain, split=split)

    @property
    def asking(self) -> Asking:
        """How the questions are asked, with the examples read from their file.

        Raises:
            RoleLensError: as `Asking` and `load_questions`.
        """
        # Made here and not in a field: tyro takes an error of a record in a record for its own.
        shots = () if self.examples is None else tuple(rl.load_questions(self.examples))
        return Asking(self.scoring, self.template, self.system, shots)


def _json(text: str) -> Any:
    """The value that a text is as JSON (`False` and `True` as Python writes them count too)."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


Common = Annotated[ModelOptions, tyro.conf.arg(name="")]
