"""A judge over HTTP, against a server of our own on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from role_lens import RoleLensError
from role_lens.judges import endpoint as endpoint_judge
from role_lens.judges.endpoint import ask_and_keep, ask_endpoint

WRONG = [
    ("refuse", "401"),
    ("garbage", "TypeError"),
    ("break off", "IncompleteRead"),
    ("still thinking", "no answer within 512 tokens, but 'None'"),
    ("<think>Is it a nurse?", "no answer within 512 tokens, but '<think>Is"),
]
ROLES = ["poet", "Data analyst", "nurse"]


class Judge(BaseHTTPRequestHandler):
    """Answers with the last line of the text that it is asked about."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        text = body["messages"][0]["content"].split("\n\n")[1]
        if text == "refuse":
            self.send_error(401)
            return
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
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}/v1/"


def test_answers_are_read(server, url):
    texts = ["x\npoet", "**Data Analyst.**", "none", "poet or nurse", ""]
    texts[-1] = "a poet of note"  # more than the name alone is no answer
    texts.append("The poet")  # but for an article
    texts.append("<think>A nurse? No.</think> poet")  # and for thoughts
    found = ask_endpoint(texts, ROLES, url=url, model="judge", key="secret")
    assert found == ["poet", "Data analyst", None, None, None, "poet", "poet"]
    path, key, body = server.asked[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("judge", 0)
    assert "poet, Data analyst, nurse" in body["messages"][0]["content"]


def test_no_key_is_sent_without_one(server, url):
    ask_endpoint(["poet"], ROLES, url=url, model="judge")
    assert server.asked[0][1] is None


def test_equal_texts_are_asked_once(server, url):
    found = ask_endpoint(["poet", "nurse", "poet"], ROLES, url=url, model="judge")
    assert found == ["poet", "nurse", "poet"]
    assert len(server.asked) == 2


def test_only_what_is_missing_is_asked_again(server, url, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint_judge, "_ASKED_AT_ONCE", 2)
    texts = ["poet", "no one", "nurse", "refuse"]
    with pytest.raises(RoleLensError, match="401"):
        ask_and_keep(texts, ROLES, tmp_path, url=url, model="judge")
    texts[-1] = "poet\nnurse"
    for n_asked in (4 + 2, 4 + 2):  # the first two are kept, and then all
        found = ask_and_keep(texts, ROLES, tmp_path, url=url, model="judge")
        assert found == ["poet", None, "nurse", "nurse"]
        assert len(server.asked) == n_asked
    ask_and_keep(texts, ROLES, tmp_path, url=url, model="another")
    assert len(server.asked) == 4 + 2 + 4


@pytest.mark.parametrize(("text", "reason"), WRONG)
def test_what_goes_wrong(url, text, reason):
    with pytest.raises(RoleLensError, match=f"gave no answer: .*{reason}"):
        ask_endpoint([text], ROLES, url=url, model="judge")


def test_addresses():
    with pytest.raises(RoleLensError, match="http"):
        ask_endpoint(["x"], ROLES, url="file:///etc", model="judge")
    with pytest.raises(RoleLensError, match="gave no answer"):
        ask_endpoint(["x"], ROLES, url="http://127.0.0.1:9", model="judge", timeout=5.0)
