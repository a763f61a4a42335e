"""Uses the installed package from elsewhere: run by `make test-wheel` in an environment that holds
the wheel and what it asks for, and nothing else."""

import sys
import tempfile
from pathlib import Path

import role_lens
from role_lens import RoleVectors, load_prompts, load_questions, load_roles
from role_lens.cli import main
from role_lens.reading import geometry_by_layer
from role_lens.reporting import Report

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "benchmarks")]
from tiny import BASE, QUIET, ROLES, tiny_bridge

assert "site-packages" in str(role_lens.__file__), role_lens.__file__
assert len(load_roles()) == 29
assert len(load_prompts()) == 256
assert len(load_questions()) == 960
with tempfile.TemporaryDirectory() as folder:
    vectors = RoleVectors.fit(tiny_bridge("llama"), ROLES, BASE, compute=QUIET)
    vectors.save(f"{folder}/roles.safetensors")
    assert main(["info", "--vectors", f"{folder}/roles.safetensors"]) == 0
    report = Report("Geometry", "How alike are they?", {})
    report.table(geometry_by_layer(vectors))
    report.write(f"{folder}/report.html")
    assert "How alike are they?" in Path(folder, "report.html").read_text()
print("the wheel works:", role_lens.__file__)
