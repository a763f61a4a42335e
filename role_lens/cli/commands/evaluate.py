"""`role-lens evaluate` scores questions without and with a role vector.

    role-lens evaluate --vectors roles.safetensors --role economist --layer 15 --domain econ

Whether a difference may be chance is what `role-lens compare` tests.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.errors import RoleLensError
from role_lens.reporting.options import Common, PatchOptions, QuestionOptions
from role_lens.reporting.terminal import say
from role_lens.scoring.asking import GENERATE
from role_lens.scoring.generation_options import Generation


def run(
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    asking: Annotated[QuestionOptions, tyro.conf.arg(name="")],
    options: Common,
    generation: Annotated[Generation, tyro.conf.arg(name="")] = Generation(),
    numeric: bool = False,
    out: Path | None = None,
) -> None:
    """Score questions without and with a role vector; accuracy is shown beside chance.

    Args:
        numeric: The questions, from a file, have numbers for answers, as in GSM8K.
        out: Write the table, one row per patch and question: a .csv or .parquet file.
    """
    from role_lens.files import as_path, check_writable, make_folder, write_table

    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise RoleLensError(f"the table can be written as .csv or .parquet, not {out}")
        check_writable(out)
    written = asking.scoring == GENERATE
    if (numeric or generation != Generation()) and not written:
        raise RoleLensError(
            "--numeric, --style and other options of written answers are for --scoring generate"
        )
    if numeric and asking.questions in rl.questions.SOURCES:
        raise RoleLensError(f"--numeric needs a file of questions; got {asking.questions}")
    asked = (
        rl.load_numeric_questions(asking.questions, domain=asking.domain)
        if numeric
        else asking.load()
    )
    how, patches = asking.asking, patching.patches()
    table = rl.evaluate(
        options.load(), asked, patches, how, generation=generation if written else None
    )
    if out is not None:
        make_folder(as_path(out).parent)
        write_table(out, table)
    say(rl.summarize(table).to_string(index=False, float_format=lambda x: f"{x:.4g}"))
