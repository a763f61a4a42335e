"""The hub: what is put there has a card and comes back as it was; what can't be had is said.

A local server answers in the place of the hub: it takes commits and gives files, as far as the
hub's own client asks for them.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from tiny import BASE, CHAT_TEMPLATE, QUIET, tiny_hf, tiny_tokenizer

from role_lens import Patch, RoleLensError, RoleVectors
from role_lens.cli import main
from role_lens.interop import PushOptions, bake, contents_for, push, written
from role_lens.interop.cards import vectors_card
from role_lens.loading.license import license_of
from role_lens.patches import read_patches, write_patches


@dataclass
class Hub:
    """What the server holds and was asked."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Commit -> its files."""
    branches: dict[str, str] = field(default_factory=dict)
    repos: dict[str, dict] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuse: int | None = None
    """Status of every answer, if it is to refuse everything."""

    def commit(self, lines):
        head = self.files.get(self.branches.get("main", ""), {})
        new = dict(head)
        for line in lines:
            if line["key"] == "file":
                assert line["value"]["encoding"] == "base64"
                new[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        name = hashlib.sha1(repr(sorted(new.items())).encode()).hexdigest()
        self.files[name], self.branches["main"] = new, name
        return name


class Answers(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_):
        pass

    def send(self, status, value=None, content=None, **headers):
        body = content if content is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def asked(self):
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.hub.refuse is not None:
            self.send(self.hub.refuse, {"error": "no"})
        return self.hub.refuse is None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.asked():
            return
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization', 'user')}/{wanted['name']}"
            there = name in self.hub.repos
            self.hub.repos.setdefault(name, wanted)
            self.send(
                409 if there else 200, {"url": f"{huggingface_hub.constants.ENDPOINT}/{name}"}
            )
        elif self.path == "/api/validate-yaml":
            self.send(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            told = [{"path": f["path"], "uploadMode": "regular"} for f in files]
            self.send(200, {"files": [one | {"shouldIgnore": False} for one in told]})
        elif "/commit/" in self.path:
            oid = self.hub.commit([json.loads(line) for line in body.splitlines()])
            url = f"{huggingface_hub.constants.ENDPOINT}/user/x/commit/{oid}"
            self.send(200, {"commitOid": oid, "commitUrl": url})
        else:
            self.send(404, {})

    def do_GET(self):
        if not self.asked():
            return
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        found = api or file
        if found is None or found[1] not in self.hub.repos:
            self.send(404, {}, X_Error_Code="RepoNotFound")
            return
        commit = self.hub.branches.get(found[2] or "main", found[2])
        if commit is not None and commit not in self.hub.files:
            self.send(404, {}, X_Error_Code="RevisionNotFound")
        elif api:
            private = self.hub.repos[api[1]].get("visibility") == "private"
            told = {"id": api[1], "sha": commit, "private": private, "siblings": [], "tags": []}
            self.send(200, told)
        elif file[3] not in self.hub.files[commit]:
            self.send(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            content = self.hub.files[commit][file[3]]
            tag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.send(200, content=content, X_Repo_Commit=commit, ETag=tag)

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, which the hub's client asks in the place of the hub; the cache is empty."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hubs", (Answers,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    constants, url = huggingface_hub.constants, f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(vectors, tmp_path):
    vectors.save(tmp_path / "roles.safetensors")
    return tmp_path / "roles.safetensors"


def test_vectors_come_back_as_they_were_with_their_commit(hub, vectors, file):
    address = push(file, "user/roles", PushOptions(private=True))
    assert address == f"hf://user/roles@{hub.branches['main']}"
    assert hub.repos["user/roles"]["visibility"] == "private"
    for name in (
        *("hf://user/roles", address, f"{address}/role_vectors.safetensors"),
        *("hf://user/roles/", "HF://user/roles", r"hf:\\user\roles"),
    ):
        read = RoleVectors.load(name)
        assert torch.equal(read.role_means, vectors.role_means)
        assert read.provenance["hub"] == {
            "repo": "user/roles",
            "revision": hub.branches["main"],
            "file": "role_vectors.safetensors",
        }
        assert {k: v for k, v in read.provenance.items() if k != "hub"} == vectors.provenance


def test_a_commit_stays_what_it_was(hub, vectors, file, llama):
    before = push(file, "user/roles")
    RoleVectors.fit(llama, {"bard": ["Sing!"]}, BASE, positions=[-1], compute=QUIET).save(file)
    push(file, "user/roles")
    assert RoleVectors.load("hf://user/roles").roles == ("bard",)
    assert RoleVectors.load(before).roles == vectors.roles


def test_a_patch_goes_there_and_is_used_from_there(hub, vectors, tmp_path):
    patch = vectors.add("poet", layer=1, coefficient=2.0)
    about = {
        "role": "poet",
        "verdict": {"verdict": "no more than random", "n": 60, "domain": "verse", "add": 0.01},
    }
    patch.save(tmp_path / "poet.safetensors", about=about)
    push(tmp_path / "poet.safetensors", "user/poet")
    saved = read_patches("hf://user/poet")
    assert torch.equal(saved.patches[0].direction, patch.direction)
    assert saved.about["hub"]["revision"] == hub.branches["main"]
    assert Patch.load("hf://user/poet").value == 2.0
    card = hub.files[hub.branches["main"]]["README.md"].decode()
    assert "**no more than random** (on 60 questions" in card
    assert "| add | 0.01 |" in card


def test_what_is_there_needs_no_network(hub, vectors, file):
    address = push(file, "user/roles")
    RoleVectors.load("hf://user/roles")
    asked = len(hub.asked)
    assert RoleVectors.load(address).roles == vectors.roles
    assert len(hub.asked) == asked  # a commit doesn't change
    for status in (503, 429):
        hub.refuse = status
        assert RoleVectors.load("hf://user/roles").roles == vectors.roles
    with pytest.raises(RoleLensError, match="not in the local cache, and the Hugging Face hub"):
        RoleVectors.load("hf://user/others")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("hf://roles", "is no address of a model on the hub: expected hf://user/repo"),
        ("hf://datasets/user/roles/x", "is no address of a model on the hub"),
        ("hf://user/other", "no such repository, or it is private"),
        ("hf://user/roles@v9", "role_vectors.safetensors of user/roles@v9: the repository has no "
         "such revision"),
        ("hf://user/roles/more.safetensors", "no such file"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(hub, file, address, why):
    push(file, "user/roles")
    with pytest.raises(RoleLensError, match=re.escape(why)):
        RoleVectors.load(address)


def test_on_the_command_line_an_address_stands_for_a_file(hub, file, tmp_path, capsys):
    assert main(["push", str(file), "user/roles"]) == 0
    assert f"-> hf://user/roles@{hub.branches['main']}" in capsys.readouterr().out
    out = tmp_path / "poet.safetensors"
    named = ["--vectors", "hf://user/roles", "--role", "poet", "--layer", "1"]
    assert main(["export", *named, "--out", str(out)]) == 0
    assert Patch.load(out).layers == (1,)


# What is written


def test_a_dry_run_writes_what_would_be_sent_and_sends_nothing(hub, file, tmp_path, capsys):
    out = tmp_path / "folder"
    assert main(["push", str(file), "user/roles", "--dry-run", str(out)]) == 0
    assert "nothing was sent" in capsys.readouterr().out
    assert not hub.repos
    push(file, "user/roles")
    sent = hub.files[hub.branches["main"]]
    assert {one.name: one.read_bytes() for one in out.iterdir()} == sent
    assert main(["push", str(file), "user/roles", "--dry-run", str(out)]) == 2
    assert "exists: name a new folder" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_card_says_what_a_comparison_found(llama, vectors, file, compared, tmp_path):
    folder, table = compared
    options, row = PushOptions(comparison=folder), table.iloc[0]
    card = contents_for(file, "user/roles", options)["README.md"]
    (line,) = (one for one in card.splitlines() if one.startswith("| poet | verse |"))
    assert f"| {row['add']:+.3f} | {row['excess']:+.3f} (" in line
    assert line.endswith(f"| {row['verdict']} |")
    other = RoleVectors.fit(llama, {"bard": ["Sing!"]}, BASE, positions=[-1], compute=QUIET)
    other.save(tmp_path / "bard.safetensors")
    with pytest.raises(RoleLensError, match="is a comparison of other vectors"):
        contents_for(tmp_path / "bard.safetensors", "user/bard", options)


def test_a_card_names_the_model_and_its_licence(vectors):
    of_packaged = {**vectors.provenance, "model": "smollm2-135m-instruct"}
    packaged = RoleVectors(**{**vars(vectors), "provenance": of_packaged})
    data = ModelCard(vectors_card(packaged, "user/roles")).data
    assert data["license"] == "apache-2.0"
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    card = vectors_card(vectors, "user/roles")
    assert ModelCard(card).data.get("license") is None
    assert "That of the model, tiny-llama: look there." in card
    assert ModelCard(vectors_card(vectors, "user/roles", license="mit")).data["license"] == "mit"


def test_a_baked_model_goes_there_whole(hub, tmp_path):
    model = tiny_hf("llama")
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    patch = Patch.ablate(torch.ones(32))
    bake(tmp_path / "model", patch, tmp_path / "baked", about={"role": "poet"})
    push(tmp_path / "baked", "user/baked")
    sent = hub.files[hub.branches["main"]]
    assert set(sent) >= {"README.md", "config.json", "model.safetensors"}
    assert ModelCard(sent["README.md"].decode()).data["license"] == "mit"
    folder = written(
        contents_for(tmp_path / "baked", "user/baked", PushOptions(license="apache-2.0")),
        tmp_path / "dry",
    )
    assert ModelCard.load(folder / "README.md").data["license"] == "apache-2.0"
    assert (folder / "model.safetensors").read_bytes() == sent["model.safetensors"]


def test_a_card_names_the_licence_that_was_given(tmp_path):
    made, card = tmp_path / "baked", "---\nlicense: mit\n---\n# A\n\n## Licence\n\nmit.\n\nEnd."
    made.mkdir()
    for name, text in (("README.md", card), ("config.json", "{}"), ("model.safetensors", "")):
        (made / name).write_text(text)
    for name in (".git/config", ".env", ".cache/huggingface/x"):  # is nobody's business
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("secret")
    contents = contents_for(made, "user/a", PushOptions(license="apache-2.0"))
    assert set(contents) == {"README.md", "config.json", "model.safetensors"}
    assert "## Licence\n\napache-2.0. The model's own" in contents["README.md"]
    assert contents["README.md"].endswith("End.")
    assert "mit" not in contents["README.md"]
    (made / "README.md").write_text("---\n{: x\n---\n")
    with pytest.raises(RoleLensError, match="is no model card"):
        contents_for(made, "user/a", PushOptions(license="mit"))


@pytest.mark.parametrize(
    "about",
    [
        {"verdict": "good"},
        {"verdict": ["x"], "model": 5, "role": "a\nb"},
        {"verdict": {"verdict": "v"}, "model": ["a"]},
        {"verdicts": ["x"]},
        {"verdicts": "x", "model": "/home/me/secret/tiny"},
    ],
)
def test_whatever_is_known_of_a_patch_is_shown(vectors, about, tmp_path):
    vectors.add("poet", layer=1).save(tmp_path / "p.safetensors", about=about)
    card = contents_for(tmp_path / "p.safetensors", "user/p")["README.md"]
    assert "This has not been judged" in card
    assert "secret" not in card
    assert ModelCard(card).data["library_name"] == "role_lens"


def test_a_licence_is_one_that_the_hub_takes(file, tmp_path):
    with pytest.raises(RoleLensError, match="is no licence as the hub abbreviates them"):
        contents_for(file, "user/roles", PushOptions(license="Apache License 2.0"))
    tiny_hf("llama").save_pretrained(tmp_path / "model")
    readme = tmp_path / "model" / "README.md"
    for head, found in (("license: mit", "mit"), ("license: [mit, other]", None), ("{: x", None)):
        readme.write_text(f"---\n{head}\n---\n")
        assert license_of(str(tmp_path / "model")) == found


# What is refused


@pytest.mark.parametrize("repo", ["roles", "a/b/c", "user/no spaces", ""])
def test_a_name_that_the_hub_does_not_take(file, repo):
    with pytest.raises(RoleLensError, match="is no repository on the hub: expected an owner"):
        push(file, repo)


def test_without_a_login_nothing_is_sent(hub, file, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(RoleLensError, match="not logged in at the Hugging Face hub"):
        push(file, "user/roles")
    assert not hub.asked


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, "the hub doesn't take the login"), (403, "may not write there"), (400, "can't push to")],
)
def test_a_hub_that_refuses(hub, file, status, why):
    hub.refuse = status
    with pytest.raises(RoleLensError, match=why):
        push(file, "user/roles")
    assert not hub.files


def test_what_is_to_be_private_is_not_made_public(hub, file):
    push(file, "user/roles")
    commit = hub.branches["main"]
    with pytest.raises(RoleLensError, match="is there and public: make it private"):
        push(file, "user/roles", PushOptions(private=True))
    assert hub.branches["main"] == commit
    push(file, "user/private", PushOptions(private=True))


def test_what_is_nothing_to_push(vectors, tmp_path):
    with pytest.raises(RoleLensError, match="no file or folder at"):
        contents_for(tmp_path / "none.safetensors", "user/roles")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RoleLensError, match=r"lacks a config\.json, weights or a README\.md"):
        contents_for(tmp_path / "empty", "user/roles")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(RoleLensError, match="not a readable safetensors file"):
        contents_for(tmp_path / "text.safetensors", "user/roles")
    write_patches(tmp_path / "p.safetensors", vectors.add("poet", layer=1))
    options = PushOptions(comparison=tmp_path)
    with pytest.raises(RoleLensError, match="leave out --comparison"):
        contents_for(tmp_path / "p.safetensors", "user/p", options)
