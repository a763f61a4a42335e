"""A judge over HTTP, against a server of our own on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from role_lens import RoleLensError
from role_lens.readout.endpoint_judge import ask_endpoint

ROLES = ["poet", "Data analyst", "nurse"]


class Judge(BaseHTTPRequestHandler):
    """Answers with the last line of the text that it is asked about."""

    asked: list = []  # noqa: RUF012

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["Authorization"], body))
        text = body["messages"][0]["content"].split("\n\n")[1]
        if text == "refuse":
            self.send_error(401)
            return
        answer = {"choices": [{"message": {"content": text.splitlines()[-1]}}]}
        payload = b"[]" if text == "garbage" else json.dumps(answer).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args):
        pass


@pytest.fixture
def url():
    Judge.asked = []
    server = HTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/"
    server.shutdown()
    server.server_close()


def test_answers_are_read(url):
    texts = ["x\npoet", "**Data Analyst.**", "none", "poet or nurse", ""]
    texts[-1] = "the poet"  # more than the name alone is no answer
    found = ask_endpoint(texts, ROLES, url=url, model="judge", key="secret")
    assert found == ["poet", "Data analyst", None, None, None]
    path, key, body = Judge.asked[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("judge", 0)
    assert "poet, Data analyst, nurse" in body["messages"][0]["content"]


def test_no_key_is_sent_without_one(url):
    ask_endpoint(["poet"], ROLES, url=url, model="judge")
    assert Judge.asked[0][1] is None


@pytest.mark.parametrize(("text", "reason"), [("refuse", "401"), ("garbage", "TypeError")])
def test_what_goes_wrong(url, text, reason):
    with pytest.raises(RoleLensError, match=f"gave no answer: .*{reason}"):
        ask_endpoint([text], ROLES, url=url, model="judge")


def test_addresses():
    with pytest.raises(RoleLensError, match="http"):
        ask_endpoint(["x"], ROLES, url="file:///etc", model="judge")
    with pytest.raises(RoleLensError, match="gave no answer"):
        ask_endpoint(["x"], ROLES, url="http://127.0.0.1:9", model="judge", timeout=5.0)
