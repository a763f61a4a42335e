"""The house: folders import downwards only, public names are where users look for them, and each
has an example that runs."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import BASE, QUIET, ROLES

import role_lens
from role_lens import Question, RoleLensError, RoleVectors

ROOT = Path(role_lens.__file__).parent
TOP = Path(__file__).parents[1]
# Each room may import from itself and from those before it. `ground` is what every room stands on:
# errors, files, versions, the registry, how models are loaded and asked, prompts, and records
# without a room.
ROOMS = (
    *("ground", "_run", "top", "questions", "scoring", "statistics", "experiments"),
    *("reading", "judges", "writing", "tuning", "interop", "reporting", "cli"),
)
SIDE_BY_SIDE = ({"reading", "judges"},)
GROUND = {
    *(
        "errors",
        "files",
        "versions",
        "_registry",
        "models",
        "compute",
        "direction_spec",
        "schedule",
    ),
    *("chat", "checks", "loading", "process_setting", "prompts", "rows", "torch_defaults"),
    *("conversation", "schedule", "values"),
}
IN_TOP = {"patches", "finders"}
PUBLIC = ("role_lens", *(f"role_lens.{name}" for name in (
    *("patches", "finders", "questions", "scoring", "statistics", "experiments"),
    *("reading", "judges", "writing", "tuning", "interop", "reporting"),
)))  # fmt: skip
MOST_ARGUMENTS = 7
LONGEST_FUNCTION = 80


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def room_of(module):
    first = module.split(".")[0]
    if first in GROUND:
        return "ground"
    return first if first in ROOMS and first not in IN_TOP else "top"


def top_level_names():
    """Where the names of `role_lens` come from."""
    found = {}
    for node in ast.parse((ROOT / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            found |= {name.name: node.module or name.name for name in node.names}
    return found


def imports(path):
    """The package's modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.suffix == ".pyi", f"{path.name} imports relatively"
            if node.module == "role_lens":
                yield from (top_level_names().get(name.name, name.name) for name in node.names)
            elif (node.module or "").startswith("role_lens."):
                yield node.module.removeprefix("role_lens.")
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == "role_lens":  # everything, when it is asked for
                    yield "reporting"
                elif name.name.startswith("role_lens."):
                    yield name.name.removeprefix("role_lens.")


def test_folders_import_downwards():
    for name, path in modules():
        own = room_of(name)
        for target in imports(path):
            other = room_of(target)
            beside = any({own, other} <= rooms for rooms in SIDE_BY_SIDE)
            assert ROOMS.index(other) <= ROOMS.index(own), f"{name} imports {target}"
            assert own == other or not beside, f"{name} imports {target}"


def test_only_models_names_the_model_classes():
    for name, path in modules():
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        if name != "models":
            assert not names & {"TransformerBridge", "HookedTransformer"}, name


@pytest.mark.parametrize("folder", ["analyses", "docs", "role_lens/cli/commands"])
def test_scripts_import_public_names_only(folder):
    """From `role_lens` and its subpackages; commands also light records, but nothing private."""
    for path in sorted((TOP / folder).glob("*.py")):
        found = {
            node.module.removeprefix("role_lens.")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("role_lens.")
        }
        if folder.endswith("commands"):
            deeper = {target for target in found if "._" in f".{target}"}
        else:
            deeper = found - {name.removeprefix("role_lens.") for name in PUBLIC} - {"directions"}
        assert not deeper, f"{path.name} imports {deeper}"


def test_pages_import_public_names_only():
    for page in [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]:
        for line in page.read_text("utf-8").splitlines():
            found = re.match(r"from (role_lens[\w.]*) import (.*)", line)
            if not found or found[1] == "role_lens.directions":
                continue
            assert found[1] in PUBLIC, f"{page.name}: {line}"
            public = importlib.import_module(found[1]).__all__
            assert {name.strip() for name in found[2].split(",")} <= set(public), line


def test_a_public_name_is_not_a_module_of_its_package():
    """Importing the module would hide the name."""
    for package in PUBLIC:
        folder = ROOT.parent / Path(*package.split("."))
        files = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
        module = importlib.import_module(package)
        hidden = {
            n for n in module.__all__ if n in files and not inspect.ismodule(getattr(module, n))
        }
        assert not hidden, f"{package}: {hidden}"


def public_objects():
    """Every public class and function once, under its shortest name."""
    seen = {}
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found) or inspect.isfunction(found):
                seen.setdefault(found, f"{package}.{name}")
    maths = vars(importlib.import_module("role_lens.directions"))
    for name, found in maths.items():
        if inspect.isfunction(found) and found.__module__ == "role_lens.directions":
            seen.setdefault(found, f"role_lens.directions.{name}")
    return {name: found for found, name in seen.items()}


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_public_functions_take_few_arguments(name):
    found = public_objects()[name]
    if inspect.isfunction(found):
        assert len(inspect.signature(found).parameters) <= MOST_ARGUMENTS
    for method, one in vars(found).items() if inspect.isclass(found) else ():
        function = getattr(one, "__func__", one)
        if inspect.isfunction(function) and not method.startswith("_"):
            n = len(set(inspect.signature(function).parameters) - {"cls"})
            assert n <= MOST_ARGUMENTS, method


@pytest.fixture
def names(llama, tmp_path):
    """What examples take to be there."""
    questions = [
        Question(f"q{i}", f"Which {i}?", ("a", "bc", "def")[: 2 + i % 2], i % 2, "s", "d")
        for i in range(4)
    ]
    many = [
        Question(f"{word}{i}", f"Which {word} {i}?", ("a", "bc"), i % 2, "s", domain)
        for domain, word in (("verse", "line"), ("food", "dish"))
        for i in range(40)
    ]
    vectors = RoleVectors.fit(llama, ROLES, BASE, positions=[-2, -1], compute=QUIET)
    public = {n: getattr(role_lens, n) for n in role_lens.__all__ if n != "reporting"}
    return public | {
        **{"model": llama, "vectors": vectors, "questions": questions, "many_questions": many},
        **{"roles": ROLES, "base": BASE, "folder": tmp_path, "torch": torch},
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(public_objects()))
def test_every_public_name_has_an_example_that_runs(name, names, monkeypatch, tmp_path):
    found = public_objects()[name]
    monkeypatch.chdir(tmp_path)
    module = inspect.getmodule(found)
    finder = doctest.DocTestFinder(recurse=inspect.isclass(found))
    tests = finder.find(found, name, module=module, globs={**names, **vars(module)} | names)
    examples = [test for test in tests if test.examples]
    assert examples or (
        issubclass(type(found), type(RoleLensError)) and issubclass(found, Exception)
    ), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    for test in examples:
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def loaded_after(code):
    """Heavy packages that are loaded after running code in a process of its own."""
    heavy = (
        "torch",
        "transformer_lens",
        "transformers",
        "pandas",
        "numpy",
        "lm_eval",
        "matplotlib",
    )
    script = f"import sys\n{code}\nprint(*[n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=TOP
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import role_lens", set()),
        ("from role_lens import RoleLensError, Grid, Selection, Asking", set()),
        ("from role_lens.cli import main; main(['--version'])", set()),
        ("from role_lens.cli import main; main(['dance'])", set()),
        ("from role_lens.cli import main; main(['--help'])", set()),
        ("from role_lens.cli import main; main(['sweep', '--help'])", set()),
        ("from role_lens.cli import main; main(['compare', '--objective', 'luck'])", set()),
        ("from role_lens import RoleVectors", {"torch", "numpy", "pandas"}),
    ],
)
def test_what_may_be_loaded_by_then(code, allowed):
    stopped = f"try:\n    exec({code!r})\nexcept SystemExit:\n    print()"
    assert loaded_after(stopped) <= allowed


def test_functions_are_short():
    long = []
    for folder in ("role_lens", "analyses"):
        for path in sorted((TOP / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    doc = ast.get_docstring(node, clean=False) or ""
                    code = node.end_lineno - node.lineno + 1 - len(doc.splitlines())
                    if code > LONGEST_FUNCTION:
                        long.append(f"{path.name}:{node.name} ({code})")
    assert not long, long
