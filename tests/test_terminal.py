"""What commands leave on the terminal, and their exit codes, where it isn't there any more."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from role_lens.reporting import reported, say

TOP = Path(__file__).parents[1]
CLI = [sys.executable, "-m", "role_lens.cli"]


def started(command, **options):
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Where the tests run in the background a shell has them ignore Ctrl-C, and what they start too.
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=TOP, text=True, preexec_fn=heeded, **streams | options)


def ended(command, **options):
    """Exit code, output, and what is said beside it."""
    process = started(command, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def broken():
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sweep", "--help"]])
def test_a_reader_that_has_gone_ends_a_command_quietly(arguments):
    assert ended([*CLI, *arguments], stdout=broken()) == (141, None, "")


@pytest.mark.long
def test_a_reader_of_a_script_that_has_gone():
    command = [sys.executable, "analyses/geometry.py", "--help"]
    assert ended(command, stdout=broken()) == (141, None, "")


def test_a_reader_that_goes_in_the_middle():
    """As `head` does: what was read is whole."""
    script = (
        "import sys; from role_lens.reporting import reported, say\n"
        "sys.exit(reported(lambda: [say(str(n) * 80) for n in range(100_000)]))"
    )
    process = started([sys.executable, "-c", script])
    assert process.stdout.readline() == "0" * 80 + "\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_nobody_who_reads_what_is_said_beside_the_output():
    refused = ["evaluate", "--vectors", "v", "--role", "poet", "--layer", "1", "--out", "t.xls"]
    code, out, err = ended([*CLI, *refused])
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert ended([*CLI, *refused], stderr=broken())[:2] == (2, "")
    closed = 'exec "$0" -m role_lens.cli "$@" 2>&-'
    shell = ["sh", "-c", closed, sys.executable]
    assert ended([*shell, *refused])[:2] == (2, "")  # and not on the other stream
    closed = 'exec "$0" -m role_lens.cli --version >&-'
    assert ended(["sh", "-c", closed, sys.executable]) == (0, "", "")


def test_progress_bars_whose_reader_has_gone():
    script = (
        "import sys, tqdm; from role_lens.reporting import reported\n"
        "sys.exit(reported(lambda: [n for n in tqdm.tqdm(range(100), mininterval=0)]))"
    )
    assert ended([sys.executable, "-c", script], stderr=broken()) == (141, "", None)
    shell = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    assert ended(shell) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_output_onto_a_full_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        code, _, err = ended([*CLI, *arguments], stdout=full)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("role-lens: ")
    assert "No space left on device" in line


def interrupted(script):
    return [sys.executable, "-c", f"import sys; from role_lens.reporting import reported\n{script}"]


def test_interrupted_while_it_imports(tmp_path):
    """Torch takes seconds; this one interrupts itself."""
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [*CLI, "info", "--vectors", "nowhere"]
    found = ended(command, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert found == (130, "", "role-lens: interrupted\n")


def test_interrupted_in_the_middle(tmp_path):
    """What was half written is gone."""
    script = (
        "from role_lens.files import atomic_write\nimport time\n"
        "def work():\n"
        f"    with atomic_write({str(tmp_path / 'a.txt')!r}) as path:\n"
        "        path.write_text('half')\n"
        "        print('begun', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.exit(reported(work))"
    )
    process = started(interrupted(script))
    assert process.stdout.readline() == "begun\n"
    assert len(list(tmp_path.iterdir())) == 1
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.stderr.read() == "role-lens: interrupted\n"
    assert process.wait() == 130
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_disk_is_one_line(capsys):
    """Of a library that writes by itself."""

    def fails():
        say("Hello.")
        raise OSError(28, "No space left on device", "cache/file")

    assert reported(fails) == 2
    found = capsys.readouterr()
    assert found.out == "Hello.\n"
    assert found.err == "role-lens: [Errno 28] No space left on device: 'cache/file'\n"
