"""`role-lens prompts` has a model write the prompts of a role, and sifts them.

    role-lens prompts --role beekeeper --n 64 --out prompts
    role-lens fit --prompts builtin prompts --out roles.safetensors

The writer is the loaded model, or one behind an OpenAI-compatible endpoint.
"""

import os
from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say
from role_lens.writing.prompt_options import PromptOptions


def run(
    out: Path,
    options: Common,
    role: str | None = None,
    endpoint: str | None = None,
    endpoint_model: str | None = None,
    match: str | None = "builtin",
    personas: str | None = None,
    writing: Annotated[PromptOptions, tyro.conf.arg(name="")] = PromptOptions(),
) -> None:
    """Write prompts that a person of a role would type, with nothing but the role's name.

    Args:
        out: Folder to write to: <role>.jsonl is what `fit --prompts` reads, and
            base_prompts/base.jsonl what `fit --base` reads. A stopped run goes on.
        role: Name of the role. Without it, base prompts about everyday matters are written.
        endpoint: Address of an OpenAI-compatible API, such as http://localhost:8000/v1, whose model
            writes. Without it, the model of --model. Its key is read from OPENAI_API_KEY.
        endpoint_model: Name of the model there.
        match: Prompts whose beginnings and lengths are matched: builtin (base prompts), a .jsonl or
            a .txt file. None for the ten kinds of task of arXiv 2502.12055.
        personas: A file of descriptions of persons (field persona), or personahub, from the Hugging
            Face hub. Those who name the role write its prompts.
    """
    from dataclasses import replace

    from role_lens.files import check_folder

    check_folder(out)
    if (endpoint is None) != (endpoint_model is None):
        raise rl.RoleLensError("--endpoint and --endpoint-model go together: name both, or neither")
    how = replace(
        writing,
        like=_matched(match),
        persons=() if personas is None else tuple(rl.writing.load_personas(personas, role)),
    )
    writer = (
        rl.Endpoint(endpoint, endpoint_model, key=os.environ.get("OPENAI_API_KEY"))
        if endpoint is not None and endpoint_model is not None
        else options.load()
    )
    written = rl.writing.write_prompts(writer, role, out, how)
    if not written.prompts:
        raise rl.RoleLensError(f"{written.account()}: take a larger model as the writer")
    say(f"{written.account()} -> {out}")
    if written.n_open:
        say("Raise --tries for more, or take a larger model as the writer.")
    for prompt in written.prompts[:3]:
        say(f"  {prompt}")


def _matched(match: str | None) -> tuple[str, ...] | None:
    if match == "builtin":
        return None
    return () if match is None else tuple(rl.load_prompts(match))
