"""Prompts that a model writes for a role: what is sifted out of them, by a loaded model and by an
endpoint that answers badly."""

import json
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

from role_lens import Endpoint, RoleLensError, load_prompts, load_roles
from role_lens._run.tokens import encode_begun
from role_lens.chat import chat_text, token_ids
from role_lens.cli import main
from role_lens.generation import complete
from role_lens.writing import TASKS, LeftOut, PromptOptions, load_personas, write_prompts
from role_lens.writing.forms import Places, n_words, opening
from role_lens.writing.sifting import Sieve, cleaned

BAD = [
    "",
    "I'm sorry, but I can't help with that.",
    "What should a beekeeper do about wasps near the hive?",
    "time out",
    '**1.** "What is the best wood for a hive?"',
    "What is the best wood for a hive",
    "Tell me a joke about a queen.",
    "about a nurse",
]


class Writer(BaseHTTPRequestHandler):
    """Answers with one bad text after another; as a role judge it names who is in the text."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][0]["content"]
        if content.startswith("Text:"):
            answer = "nurse" if "nurse" in content.split("\n\n")[1] else self.server.otherwise
        elif content.startswith("List 12 different"):
            self.server.listed.append(content)
            answer = self.server.topics
        else:
            self.server.requests.append(content)
            answer = self.server.answer(len(self.server.requests) - 1, content)
        if answer == "time out":
            time.sleep(2.5)
        payload = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
        self.send_response(200)
        self.end_headers()
        with suppress(BrokenPipeError):  # nobody waits any more
            self.wfile.write(payload)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Writer)
    server.requests, server.listed, server.otherwise, server.topics = [], [], "none", ""
    server.answer = lambda number, content: BAD[number % len(BAD)]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def endpoint(server):
    url = f"http://127.0.0.1:{server.server_port}/v1"
    return Endpoint(url, "writer", timeout=2.0, retries=0)


LIKE = ("What is a good name for a cat?",) * 3


def test_a_writer_that_answers_badly(server, endpoint, tmp_path):
    """Nothing is lost, and the account says what became of every answer."""
    options = PromptOptions(n=2, tries=8, like=LIKE)
    written = write_prompts(endpoint, "Beekeeper", tmp_path, options)
    assert written.prompts == ("What is the best wood for a hive?",)
    assert len(written.prompts) + len(written.left_out) == 16 == len(server.requests)
    assert written.account() == (
        "1 of 2 prompts wanted; left out: repeats another (3), empty (2), a refusal (2), names its "
        "role (2), no answer (2), fits no open place (2), about another role (2)"
    )
    assert load_roles(tmp_path) == {"beekeeper": ["What is the best wood for a hive?"]}
    rows = (tmp_path / "beekeeper" / "left_out.jsonl").read_text().splitlines()
    assert [json.loads(row)["reason"] for row in rows] == [
        reason.value for _, reason in written.left_out
    ]
    assert write_prompts(endpoint, "beekeeper", tmp_path, options) == written
    assert len(server.requests) == 16  # all is read


def test_what_a_role_judge_says_and_cannot_be_read_is_no_answer(server, endpoint, tmp_path):
    words = iter(("Does wax melt?", "Who helps a nurse?", *["Is honey sweet?"] * 30))
    server.answer = lambda number, content: next(words)
    server.otherwise = "It seems to be about bees."
    options = PromptOptions(n=2, tries=1, like=("Will it do?", "Who is it?"))
    written = write_prompts(endpoint, "beekeeper", tmp_path, options)
    assert written.prompts == ()
    assert "no answer" in written.account()


def test_a_stopped_run_goes_on(server, endpoint, tmp_path):
    words = ("wax", "honey", "smoke", "wood", "cloth", "water")
    server.answer = lambda number, content: f"What is {words[number % 6]} good for at a hive?"
    options = PromptOptions(n=40, tries=1, like=LIKE)
    write_prompts(endpoint, "beekeeper", tmp_path, options)
    n = len(server.requests)
    assert n == 48  # whole batches of 16
    (tmp_path / "beekeeper" / "texts-000016.parquet").unlink()
    again = write_prompts(endpoint, "beekeeper", tmp_path, options)
    assert len(server.requests) == n + 16
    assert len(again.prompts) + len(again.left_out) == n
    more = PromptOptions(n=40, tries=2, like=LIKE)  # goes on with more requests
    write_prompts(endpoint, "beekeeper", tmp_path, more)
    assert len(server.requests) == n + 16 + 32
    with pytest.raises(RoleLensError, match="another run, which differs in n"):
        write_prompts(endpoint, "beekeeper", tmp_path, PromptOptions(n=3, like=LIKE))


def test_forms_are_those_of_the_base_prompts(server, endpoint, tmp_path):
    """A writer that obeys fills all places, so that openings and lengths are those of the list."""

    def obedient(number, content):
        begins = content.split('begins with "')[1].split('"')[0]
        least = int(content.split("has ")[1].split()[0])
        words = [f"{chr(97 + number % 26)}{number}{chr(97 + i)}" for i in range(least)]
        return " ".join([begins, *words[len(begins.split()) :]]) + "?"

    server.answer = obedient
    written = write_prompts(endpoint, "beekeeper", tmp_path, PromptOptions(n=64, tries=2))
    assert written.n_open == 0
    base = load_prompts("builtin")
    shares = [
        {one: sum(opening(p) == one for p in some) / len(some) for one in map(opening, base)}
        for some in (base, written.prompts)
    ]
    assert max(abs(shares[0][one] - shares[1][one]) for one in shares[0]) < 0.06
    assert all("It is about the matters of that work" in one for one in server.requests)


def test_prompts_are_about_topics_that_the_writer_lists(server, endpoint, tmp_path):
    """Of the lists what names the role, refuses or explains at length is left out."""
    server.topics = "\n".join(
        (
            *("Sure!", "Here are 12 tools:", "1. **Smokers**", "2. Wax: where it is from", "```"),
            *("- A beekeeper's hat", "I'm sorry, I can't.", "smokers", "12", "4. U.S. tax law"),
            "a very long line on all that there is in this work",
        )
    )
    server.answer = lambda number, content: "Why?"
    options = PromptOptions(n=4, tries=1, like=LIKE)
    write_prompts(endpoint, "beekeeper", tmp_path, options)
    assert len(server.listed) == 8
    assert all("in the work of a beekeeper" in one for one in server.listed)
    about = {re.search(r"It is about (.*), and does not name", one)[1] for one in server.requests}
    assert about == {"Smokers", "Wax", "U.S. tax law"}
    write_prompts(endpoint, None, tmp_path, options)  # of everyday life, no word of work
    assert not any("work" in one for one in server.listed[8:])
    assert "at work" not in server.requests[-1]


def test_a_loaded_model_begins_as_it_is_to(llama):
    """As in a conversation in which that was its answer."""
    asked, begun = ["Tea?", "Lunch!"], ["Yes, a", ""]
    free, made = (complete(llama, asked, max_new_tokens=6, begun=b) for b in (None, begun))
    assert made[0].text.startswith("Yes, a")
    assert made[1] == free[1]
    (head, _), (begins, none) = encode_begun(llama, asked, begun)
    conversation = chat_text(llama, "And now?", None, [("Tea?", "Yes, a")])
    said = token_ids(llama, conversation, special=False)
    assert said[: len(head) + len(begins)] == head + begins
    assert none == []
    for wrong in (["a"], "ab", []):
        with pytest.raises(RoleLensError):
            complete(llama, asked, begun=wrong)


def test_tasks_of_the_paper_personas_and_base_prompts(server, endpoint, tmp_path):
    server.answer = lambda number, content: "x"
    options = PromptOptions(n=40, tries=1, like=(), persons=("A nurse who sings.",))
    write_prompts(endpoint, "nurse", tmp_path, options)
    asked = {task for task in TASKS for one in server.requests if f'begins with "{task}"' in one}
    assert asked == set(TASKS)
    assert all(one.startswith("Here is a person: A nurse who sings.\n") for one in server.requests)
    server.requests.clear()
    written = write_prompts(endpoint, None, tmp_path, PromptOptions(n=4, tries=1, like=LIKE))
    assert written.role is None
    assert all("everyday matters at home" in one for one in server.requests)
    assert not (tmp_path / "base_prompts" / "base.jsonl").exists()  # nothing was of use


@pytest.mark.long
def test_a_loaded_model_writes_and_judges(packaged, tmp_path):
    options = PromptOptions(n=2, tries=4, seed=3, like=("Why?", "What is it?"))
    written = write_prompts(packaged, "beekeeper", tmp_path, options)
    assert len(written.prompts) + len(written.left_out) <= 16  # a batch
    begun = {opening(text) for text, _ in written.left_out} | {*map(opening, written.prompts)}
    assert begun <= {"Why", "What is", ""}
    for file in [*tmp_path.glob("*/topics.parquet"), *tmp_path.glob("*/texts-*.parquet")]:
        before = pd.read_parquet(file)
        file.unlink()
        assert write_prompts(packaged, "beekeeper", tmp_path, options) == written
        pd.testing.assert_frame_equal(pd.read_parquet(file), before)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("Sure! Here it is:\n\n1. **What is a hive?**", "What is a hive?"),
        ("Prompt: “How do I  clean it?”\nI hope this helps!", "How do I clean it?"),
        ("```\nWhy do bees swarm?\n```", "Why do bees swarm?"),
        ("- (2) List three tools", "List three tools"),
        ("  \n ", ""),
        ("Compare: wax and honey", "Compare: wax and honey"),
        ("A hive. It is cold: why?", "A hive. It is cold: why?"),
        ('Explain the word "cat"', 'Explain the word "cat"'),
        (
            "Compute 2**3 and 3**2 in a `for` loop of __init__",
            "Compute 2**3 and 3**2 in a `for` loop of __init__",
        ),
        ('"Why?" and "how?"', '"Why?" and "how?"'),
    ],
)
def test_the_prompt_in_an_answer(text, prompt):
    assert cleaned(text) == prompt


@pytest.mark.parametrize("role", ["beekeeper", None])
def test_reasons(role):
    sieve = Sieve(role, Places(["Why do I sing at all?"], n=2))
    assert sieve.reason("Why does a beekeeper sing?") == (LeftOut.NAMES_ROLE if role else None)
    assert sieve.reason("Why do the bees sing?") is None
    assert sieve.reason("why do the BEES sing") is LeftOut.REPEATED
    assert sieve.reason(None) is LeftOut.NO_ANSWER
    assert sieve.reason("Why do they dance here?", in_role=None) is LeftOut.NO_ANSWER
    assert sieve.reason("Why do they dance here?", in_role=False) is LeftOut.OTHER_ROLE


def test_places_have_the_lengths_of_the_list():
    like = [f"Why {'x ' * n}?" for n in range(2, 42)]
    places = Places(like, n=40)
    forms = [places.wanted() for _ in range(40)]
    assert {(form.least, form.most) for form in forms} == {(4, 13), (14, 23), (24, 33), (34, 43)}
    assert all(form.holds("Why " + "x " * (form.least - 1)) for form in forms)
    assert not places.take("Why " + "x " * 60)
    assert n_words("a  b\nc") == 3


@pytest.mark.usefixtures("as_users_have_it")
def test_refused(tmp_path, llama):
    with pytest.raises(RoleLensError, match=r"the writer at http.* gave no answer"):
        write_prompts(Endpoint("http://127.0.0.1:9", "w", retries=0), "nurse", tmp_path)
    with pytest.raises(RoleLensError, match="expected a model"):
        write_prompts("gpt", "nurse", tmp_path)
    for wrong in ({"n": 0}, {"tries": 0}, {"temperature": -1}, {"within": 0}, {"like": "Why?"}):
        with pytest.raises(RoleLensError):
            PromptOptions(**wrong)
    for name in ("", "singer/songwriter", "..", ".net developer", "base prompts"):
        with pytest.raises(RoleLensError):
            write_prompts(llama, name, tmp_path)
    for blank in ({"like": [" "]}, {"persons": [""]}):
        with pytest.raises(RoleLensError, match="number 0 is empty"):
            PromptOptions(**blank)
    assert PromptOptions(like=[]).like == ()
    file = tmp_path / "people.jsonl"
    file.write_text('{"persona": "A poet."}\n')
    with pytest.raises(RoleLensError, match="no description that names the role 'nurse'"):
        load_personas(file, "nurse")


def test_on_the_command_line(server, tmp_path, capsys):
    server.answer = lambda number, content: f"What is hive {number} good for, and why?"
    url = f"http://127.0.0.1:{server.server_port}/v1"
    what = ["prompts", "--role", "beekeeper", "--out", str(tmp_path), "--n", "1", "--tries", "1"]
    like = tmp_path / "like.txt"
    like.write_text(f"{LIKE[0]}\n")
    given = ["--endpoint", url, "--endpoint-model", "w", "--match", str(like)]
    assert main([*what, *given]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 prompts wanted; left out: none" in said
    assert "What is hive 0 good for, and why?" in said
    assert main([*what, "--endpoint", url]) == 2
    assert "go together" in capsys.readouterr().err
