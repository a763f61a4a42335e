"""An exported control vector in llama.cpp itself, where `make llama-cpp` has fetched it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import absent
from tiny import QUIET

from role_lens import RoleVectors, load_prompts, load_roles

ROOT = Path(__file__).parents[1]
FETCHED = ROOT / ".venv" / "llama-cpp" / "fetched"


@pytest.mark.long
@pytest.mark.packaged
def test_a_control_vector_does_what_the_patch_does(packaged, tmp_path):
    """On the packaged file, whose quantised arithmetic differs, and on the same weights as 32-bit
    numbers, where hardly anything does."""
    if not FETCHED.exists():
        absent("llama.cpp isn't there: `make llama-cpp` fetches it")
    prompts = {"economist": load_roles("builtin")["economist"][:16]}
    base = load_prompts("builtin")[:16]
    RoleVectors.fit(packaged, prompts, base, positions=[-1], compute=QUIET).save(tmp_path / "v.st")
    command = [sys.executable, str(ROOT / "benchmarks" / "llama_cpp.py"), "--n-prompts", "4"]
    command += ["--llama-cpp", str(FETCHED.parent), "--vectors", str(tmp_path / "v.st")]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "agreement.json").read_text())
    exact, quantised = found["unquantised"], found["as it is"]
    assert exact["correlation of changes, lowest"] > 0.999
    assert exact["largest difference of changes"] < 0.05
    assert min(exact["same text, plain"], exact["same text, steered"]) > 0.7
    assert quantised["correlation of changes, lowest"] > 0.97
