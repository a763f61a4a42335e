"""The code and the commands of the README and the site run: on a stand-in with as many layers as
the packaged model, and a little of the built-in data. Pages share a folder, so that what one has
computed the next goes on with. What needs a hub is compiled or parsed and not run, and of scripts
the options are read: analyses have tests of their own."""

import functools
import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import tyro
from tiny import tiny_hf, tiny_tokenizer

from role_lens import cli, prompts
from role_lens.prompts import DATA
from role_lens.questions.sources import builtin

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ROLES = ("doctor", "economist", "lawyer", "nurse", "sheriff")
DOMAINS = ("econ", "law")
# Two tokens follow the question: of every position all directions are tried.
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>{% endif %}"
)
# What no test may fetch, and comparisons, which take longer than that of the tour and
# are the same: this is compiled, or read by the real parser, and not run.
ONLY_READ = re.compile(
    r"qwen\.gguf|arc_(easy|challenge)|--questions mmlu|load_questions\(\"mmlu\"|--out does-it-help"
    r"|\"does-it-help\"|--out (beekeeper-|economist-|ceiling-)?verdict\b"
    r"|--comparison does-it-help|from steering_vectors"
    r"|path/to/qwen3|my_prompts|happy\.(gguf|safetensors)"
)
# No test needs a graphics card, a type that CPUs may be slow in, or long texts.
INSTEAD = {
    "--device cuda": "--device cpu",
    "--dtype bfloat16": "--dtype float32",
    "tokens 256": "tokens 16",
    "--lines lines.txt": "--lines lines.txt --max-new-tokens 4",
    "--out tuned": "--out tuned --most 1 --refinements 0 --bisections 0 --max-new-tokens 4",
    "Guards(max_kl=1.0)": "Guards(max_kl=1.0), most=1.0, refinements=0, bisections=0",
    "role-lens answers ": "role-lens answers --within 1 ",  # the stand-in is no judge
}
ENVIRONMENT = re.compile(r"^(cd |git |python3? -m venv|\.venv/bin/|benchmarks/\w+\.sh )")


pytestmark = pytest.mark.long


def blocks(page, kind):
    return [text for found, text in BLOCK.findall(page.read_text("utf-8")) if found == kind]


def commands(page):
    for text in blocks(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip() and not ENVIRONMENT.match(line):
                yield line


def with_blocks(kind):
    pages = [page for page in PAGES if blocks(page, kind)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


def head(source, target, n):
    """The first lines of a JSONL file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = source.read_text("utf-8").splitlines()[:n]
    target.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """The stand-in, and a little of the built-in data."""
    folder = tmp_path_factory.mktemp("little")
    for role in ROLES:
        head(DATA / "roles" / f"{role}.jsonl", folder / "data" / "roles" / f"{role}.jsonl", 6)
    head(DATA / "base.jsonl", folder / "data" / "base.jsonl", 16)
    for domain in DOMAINS:
        name = f"{domain}.jsonl"
        head(DATA / "questions" / name, folder / "data" / "questions" / name, 40)
    # Words are tokens of their own: bytes would make long texts, and slow tests.
    texts = [path.read_text("utf-8") for path in (folder / "data").rglob("*.jsonl")]
    found = Counter(re.findall(r" [A-Za-z]{3,}", " ".join(texts)))
    words = ("assistant", *(word for word, _ in found.most_common(600)))
    model = tiny_hf("llama", num_hidden_layers=30, max_position_embeddings=4096, vocab_size=900)
    with torch.no_grad():  # so that directions change little, as guards ask of them
        for parameter in model.parameters():
            parameter.mul_(0.1 if parameter.ndim > 1 else 1)
    model.save_pretrained(folder / "model")
    tiny_tokenizer(template=TEMPLATE, merged=words).save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def workplace(little, tmp_path_factory):
    """What the pages take to be there: vectors, roles and questions of one's own, a model."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, little, folder)
        assert cli.main(["fit", "--out", "roles.safetensors"]) == 0
    (folder / "my_roles").mkdir()
    for role, word in (("gardener", "roses"), ("beekeeper", "hives")):
        lines = [f"How do I care for {word}, {number}?" for number in range(5)]
        (folder / "my_roles" / f"{role}.txt").write_text("\n".join(lines))
    trees = [
        {"question": f"Tree {number}?", "choices": ["ash", "elm"], "answer": number % 2}
        for number in range(40)
    ]
    text = map(json.dumps, trees)
    (folder / "plants.jsonl").write_text("\n".join(text))
    (folder / "lines.txt").write_text("Hello!\n/strength 3\nGo on.\n")
    shutil.copytree(little / "model", folder / "path" / "to" / "model")
    return folder


def stand_in(patch, little, folder):
    """Put the stand-in and its data in the place of the packaged ones.

    Pages name the packaged model and the built-in data, with which they would take hours: there is
    no public way to have others under these names.
    """
    patch.chdir(folder)
    patch.setattr("role_lens.loading.folders.packaged_gguf", lambda: Path("model.gguf"))
    patch.setattr("role_lens.loading.folders.converted", lambda gguf: little / "model")
    # The modules, not their names: one that is first imported while another is patched would take
    # the patched value for its own, and give it back to later tests.
    for module in (prompts, builtin):
        patch.setattr(module, "DATA", little / "data")


def quicker(text):
    """With what takes no graphics card and less time."""
    for shown, run in INSTEAD.items():
        text = text.replace(shown, run)
    return text


@pytest.fixture
def here(little, workplace, monkeypatch):
    stand_in(monkeypatch, little, workplace)
    return workplace


@with_blocks("python")
def test_code_runs(page, here):
    """The blocks of a page one after the other, as they stand on it."""
    names = {}
    for text in map(quicker, blocks(page, "python")):
        code = compile(text, f"{page.name}: {text.splitlines()[0]}", "exec")
        if not ONLY_READ.search(text):
            exec(code, names)


@with_blocks("sh")
def test_commands_run(page, here):
    for line in map(quicker, commands(page)):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[0] == "python":
            parse_script(ROOT / words[1], words[2:])
        else:
            assert words[0] == "role-lens", line
            if ONLY_READ.search(line):
                parse_command(words[1:])
            else:
                assert cli.main(words[1:]) == 0, line


def parse_script(path, arguments):
    """Read the options of a script, and run nothing."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where tyro looks for annotations
    spec.loader.exec_module(module)
    config = (tyro.conf.OmitArgPrefixes,) if path.parent.name == "analyses" else ()
    try:
        tyro.cli(module.Config, args=arguments, config=config)
    except SystemExit as end:  # of --help
        if end.code:
            raise


def parse_command(words):
    """Read the options of a command, and run nothing."""
    command = only_parsed(cli.COMMANDS[words[0].replace("-", "_")])
    tyro.extras.subcommand_cli_from_dict(
        {words[0]: command}, args=words, config=(tyro.conf.OmitArgPrefixes,)
    )


def only_parsed(command):
    @functools.wraps(command)
    def parsed(*args, **options):
        pass

    return parsed
