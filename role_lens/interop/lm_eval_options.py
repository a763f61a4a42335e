"""How lm-eval runs its tasks, as a record.

evaluate_tasks(model, ["arc_easy"], patches, options=TaskOptions(limit=100))
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TaskOptions:
    """How lm-eval runs its tasks; the names are lm-eval's own.

    Example:
        >>> TaskOptions(limit=100, num_fewshot=5).batch_size
        8
    """

    batch_size: int | str = 8
    """Sequences at once."""
    limit: int | None = None
    """Only this many samples of each task."""
    num_fewshot: int | None = None
    """Examples before each sample; default: the task's own."""
    apply_chat_template: bool = False
    """Put prompts into the chat template."""
    gen_kwargs: str | None = None
    """Options of generation, as lm-eval takes them: "temperature=0,max_gen_toks=64"."""
    include_path: Path | None = None
    """Folder with task files of one's own."""

    def of_evaluation(self) -> dict[str, Any]:
        """Those that `lm_eval.simple_evaluate` takes."""
        names = ("limit", "num_fewshot", "apply_chat_template", "gen_kwargs")
        return {name: getattr(self, name) for name in names}
