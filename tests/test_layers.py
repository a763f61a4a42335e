"""Imports between the package's files point one way."""

import ast
from pathlib import Path

import role_lens

ROOT = Path(role_lens.__file__).parent
# Each file may import from files of lower floors only.
FLOORS = [
    ["errors"],
    ["files", "terminal"],
    ["directions", "prompts", "models"],
    ["tokens", "vector_file", "interventions", "past"],
    ["forward", "budget", "bridge_pass"],
    ["partial_pass"],
    ["residual_stream"],
    ["activations", "fingerprint"],
    ["patches", "fitting"],
    ["role_vectors", "generation"],
    [
        "evaluation.domains",
        "evaluation.prefixes",
        "evaluation.statistics",
        "evaluation.statements",
        "evaluation.best_of_many",
    ],
    ["evaluation.questions"],
    ["evaluation.splits"],
    [
        "evaluation.items",
        "evaluation.letter_answers",
        "evaluation.number_answers",
        "evaluation.judgement",
    ],
    ["evaluation.segments", "evaluation.whole_pass", "evaluation.generated"],
    ["evaluation.replay", "evaluation.divergence", "evaluation.controls"],
    ["evaluation.engine", "evaluation.cells", "evaluation.grid"],
    [
        "evaluation.scoring",
        "evaluation.attribution",
        "evaluation.identity",
        "evaluation.unfinished",
        "readout.logit_lens",
        "readout.patchscope",
        "readout.stability",
        "readout.endpoint_judge",
        "readout.persona_shift",
        "readout.token_view",
        "readout.geometry",
    ],
    ["evaluation.screening"],
    ["evaluation.sweep"],
    ["evaluation.selection"],
    [
        "evaluation.null_band",
        "evaluation.shuffled_labels",
        "readout.role_judge",
        "evaluation.random_sweep",
    ],
    ["evaluation.conditions", "evaluation.calibration", "readout.telling"],
    ["evaluation.condition_scores"],
    ["evaluation.comparison", "interop.lm_eval_results", "interop.lm_eval_task"],
    ["interop.lm_eval"],
    ["figures", "report"],
    ["demo", "cli_options"],
    ["cli_judge", "analysis"],
    ["cli"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        if path.name != "__init__.py":
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def test_every_file_has_a_floor():
    assert {name for name, _ in modules()} == set(FLOOR)


def test_imports_point_down():
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("role_lens"):
                target = node.module.removeprefix("role_lens").lstrip(".")
                assert FLOOR[target] < FLOOR[name], f"{name} imports {target}"


def test_only_models_names_the_model_classes():
    for name, path in modules():
        source = ast.parse(path.read_text())
        names = {n.id for n in ast.walk(source) if isinstance(n, ast.Name)}
        if name != "models":
            assert not names & {"TransformerBridge", "HookedTransformer"}, name


def test_files_are_small_rooms():
    for name, path in modules():
        assert len(path.read_text().splitlines()) <= 320, name
