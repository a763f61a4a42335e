"""A judge over HTTP, against a server of our own on this machine."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from role_lens import Endpoint, RoleLensError
from role_lens.judges import ask_and_keep, ask_endpoint

WRONG = [
    ("refuse", "401 Unauthorized"),
    ("redirect", "307 Temporary Redirect"),
    ("garbage", "TypeError"),
    ("break off", "incomplete message body|without sending complete message body"),
    ("still thinking", "no answer within 512 tokens, but 'None'"),
    ("<think>Is it a nurse?", "no answer within 512 tokens, but '<think>Is"),
]
ROLES = ["poet", "Data analyst", "nurse"]
SLOW = 0.5  # seconds


class Judge(BaseHTTPRequestHandler):
    """Answers with the last line of the text that it is asked about."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers, body))
        text = body["messages"][0]["content"].split("\n\n")[1]
        if text == "refuse":
            self.send_error(401)
            return
        if text == "redirect":
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        if self.server.failures:
            self.send_response(self.server.failures.pop())
            self.send_header("Retry-After", "0.001")  # seconds
            self.end_headers()
            return
        if text == "slow":
            time.sleep(SLOW)
        content = None if text == "still thinking" else text.splitlines()[-1]
        answer = {"choices": [{"message": {"content": content}}]}
        payload = b"[]" if text == "garbage" else json.dumps(answer).encode()
        self.send_response(200)
        if text == "break off":
            self.send_header("Content-Length", str(len(payload) + 1))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Judge)
    server.asked, server.failures = [], []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}/v1/"


@pytest.fixture
def endpoint(url):
    return Endpoint(url, "judge", retries=0)


def test_answers_are_read(server, url):
    texts = ["x\npoet", "**Data Analyst.**", "none", "poet or nurse", ""]
    texts[-1] = "a poet of note"  # more than the name alone is no answer
    texts.append("The poet")  # but for an article
    texts.append("<think>A nurse? No.</think> poet")  # and for thoughts
    found = ask_endpoint(texts, ROLES, Endpoint(url, "judge", key="secret"))
    assert found == ["poet", "Data analyst", None, None, None, "poet", "poet"]
    path, headers, body = server.asked[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("judge", 0)
    assert "poet, Data analyst, nurse" in body["messages"][0]["content"]


@pytest.mark.parametrize("key", [None, ""])
def test_no_key_is_sent_without_one(server, url, key):
    ask_endpoint(["poet"], ROLES, Endpoint(url, "judge", key=key))
    assert "Authorization" not in server.asked[0][1]


@pytest.mark.parametrize("key", [None, "given"])
def test_nothing_is_taken_from_the_environment(server, url, key, monkeypatch):
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: secret\nX-More: secret")
    assert ask_endpoint(["poet"], ROLES, Endpoint(url, "judge", key=key)) == ["poet"]
    ((_, headers, body),) = server.asked
    assert "secret" not in str(headers)
    assert headers["Authorization"] == (key and f"Bearer {key}")
    assert set(body) == {"model", "messages", "temperature", "max_tokens"}


def test_equal_texts_are_asked_once(server, endpoint):
    found = ask_endpoint(["poet", "nurse", "poet"], ROLES, endpoint)
    assert found == ["poet", "nurse", "poet"]
    assert len(server.asked) == 2


def test_only_what_is_missing_is_asked_again(server, endpoint, tmp_path):
    texts = ["poet", "no one", "nurse", "refuse"]
    with pytest.raises(RoleLensError, match="401"):
        ask_and_keep(texts, ROLES, tmp_path, endpoint, at_once=2)
    texts[-1] = "poet\nnurse"
    for n_asked in (4 + 2, 4 + 2):  # the first two are kept, and then all
        found = ask_and_keep(texts, ROLES, tmp_path, endpoint, at_once=2)
        assert found == ["poet", None, "nurse", "nurse"]
        assert len(server.asked) == n_asked
    ask_and_keep(texts, ROLES, tmp_path, Endpoint(endpoint.url, "another"), at_once=2)
    assert len(server.asked) == 4 + 2 + 4
    with pytest.raises(RoleLensError, match="at_once must be at least 1, got 0"):
        ask_and_keep(texts, ROLES, tmp_path, endpoint, at_once=0)


@pytest.mark.parametrize(("failures", "answers"), [([500], True), ([500, 429], False)])
def test_a_failure_that_may_pass_is_tried_again(server, url, failures, answers):
    server.failures += failures
    endpoint = Endpoint(url, "judge", retries=1)
    if answers:
        assert ask_endpoint(["poet"], ROLES, endpoint) == ["poet"]
    else:
        with pytest.raises(RoleLensError, match=r"gave no answer: .*500"):
            ask_endpoint(["poet"], ROLES, endpoint)
    assert len(server.asked) == 2
    assert server.asked[0][2] == server.asked[1][2]


@pytest.mark.parametrize(("text", "reason"), WRONG)
def test_what_goes_wrong(server, endpoint, text, reason):
    with pytest.raises(RoleLensError, match=f"gave no answer: .*({reason})") as caught:
        ask_endpoint([text], ROLES, endpoint)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1


def test_the_judge_takes_too_long(url):
    endpoint = Endpoint(url, "judge", timeout=SLOW / 5, retries=0)
    with pytest.raises(RoleLensError, match=r"gave no answer: .*timed out"):
        ask_endpoint(["slow"], ROLES, endpoint)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://", "http://localhost:port"])
def test_no_judge_at_an_address(url):
    with pytest.raises(RoleLensError, match=r"the role judge at http:.* gave no answer: "):
        ask_endpoint(["x"], ROLES, Endpoint(url, "judge", timeout=5.0, retries=0))


def test_an_endpoint_is_checked():
    with pytest.raises(RoleLensError, match="must begin with http"):
        Endpoint("file:///etc", "judge")
    with pytest.raises(RoleLensError, match="above 0 seconds, got 0"):
        Endpoint("http://x", "judge", timeout=0.0)
    with pytest.raises(RoleLensError, match="retries must be at least 0, got -1"):
        Endpoint("http://x", "judge", retries=-1)
    with pytest.raises(RoleLensError, match="printable ASCII") as caught:
        Endpoint("http://x", "judge", key="secret\n")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Endpoint("http://x", "judge", key="secret"))
