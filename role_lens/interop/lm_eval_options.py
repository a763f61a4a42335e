"""Holds how lm-eval runs its tasks, as one record.

    evaluate_tasks(model, ["arc_easy"], patches, options=TaskOptions(limit=100))

The command line makes flags of the fields.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from role_lens.checks import whole_number


@dataclass(frozen=True)
class TaskOptions:
    """How lm-eval runs its tasks; the names are lm-eval's own.

    Raises:
        RoleLensError: a limit or batch size below 1, fewer examples than none, or no whole numbers.

    Examples:
        >>> from role_lens.interop import TaskOptions
        >>> TaskOptions(limit=100, num_fewshot=5).of_evaluation()["num_fewshot"]
        5
    """

    batch_size: int | str = 8
    """Sequences in a batch, or lm-eval's "auto"."""
    limit: int | None = None
    """Only this many samples of each task; None for all."""
    num_fewshot: int | None = None
    """Answered examples before each sample; None for the task's own number."""
    apply_chat_template: bool = False
    """Put prompts into the model's chat template."""
    gen_kwargs: str | None = None
    """Options of generation, as lm-eval takes them: "temperature=0,max_gen_toks=64"."""
    include_path: Path | None = None
    """Folder with task files of your own, beside those of lm-eval."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("num_fewshot", 0), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and not (name == "batch_size" and str(value).startswith("auto")):
                object.__setattr__(self, name, whole_number(value, name, least=least))

    def of_evaluation(self) -> dict[str, Any]:
        """The options that `lm_eval.simple_evaluate` takes, by name."""
        names = ("limit", "num_fewshot", "apply_chat_template", "gen_kwargs")
        return {name: getattr(self, name) for name in names}
