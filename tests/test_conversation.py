"""Conversations: kept, answered, and followed along directions."""

import io
import json

import numpy as np
import pytest
import torch
from tiny import BASE, CHAT_TEMPLATE, QUIET, ROLES, tiny_hf, tiny_tokenizer, unchecked

from role_lens import Conversation, RoleLensError, RoleVectors, encode_chat, generate, load_model
from role_lens._run.activations import activations_at
from role_lens.cli import main
from role_lens.cli.talking import Talking
from role_lens.reading import monitor
from role_lens.reporting.options import PatchOptions

TALK = Conversation(
    (("Tea?", "Please."), ("With milk or without it?", "No milk.")), "Sugar?", system="Be short."
)


def test_messages_there_and_back(tmp_path):
    roles = [message["role"] for message in TALK.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert Conversation.of_messages(TALK.messages) == TALK
    TALK.save(tmp_path / "talk.json")
    assert Conversation.load(tmp_path / "talk.json") == TALK
    wrapped = tmp_path / "wrapped.json"
    wrapped.write_text(json.dumps({"messages": TALK.messages, "id": 3}))
    assert Conversation.load(wrapped) == TALK
    assert TALK.answered("One.").said("Two?").answered("Two.").turns[-2:] == (
        ("Sugar?", "One."),
        ("Two?", "Two."),
    )


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], "expected messages such as"),
        ("Tea?", "expected messages such as"),
        ([{"role": "assistant", "content": "Hm."}], "message 0: expected one of the user, got"),
        ([{"role": "user", "content": "A"}] * 2, "message 1: expected one of the assistant"),
        ([{"role": "user", "content": "A"}, {"role": "system", "content": "B"}], "message 1"),
        ([{"role": "user", "content": " "}], "a message of a conversation is empty"),
        ([{"role": "user", "content": 3}], "a message's content"),
    ],
)
def test_bad_messages(messages, error):
    with pytest.raises(RoleLensError, match=error):
        Conversation.of_messages(messages)


def test_bad_conversations():
    for fields in ({"turns": "ab"}, {"turns": (("a",),)}, {"turns": (("a", "b", "c"),)}):
        with pytest.raises(RoleLensError, match="turns must be pairs"):
            unchecked(Conversation(), **fields)
    with pytest.raises(RoleLensError, match="a message of a conversation is empty"):
        Conversation(system="  ")


def test_bad_files(tmp_path):
    with pytest.raises(RoleLensError, match="can't read"):
        Conversation.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(RoleLensError, match="is not JSON"):
        Conversation.load(tmp_path / "bad.json")
    with pytest.raises(RoleLensError, match="isn't answered yet"):
        TALK.said("And?")
    with pytest.raises(RoleLensError, match="no message to answer"):
        Conversation().answered("Hm.")


def test_a_conversation_is_answered_after_all_that_was_said(llama, vectors):
    """As the same text by hand; alone, in a batch with others, and steered."""
    one = Conversation().said("Tea?")
    patch = vectors.add("poet", layer=1, coefficient=20.0)
    for how in ({}, {"patch": patch}):
        assert generate(llama, one, **how) == generate(llama, "Tea?", **how)
        alone = generate(llama, TALK, max_new_tokens=6, **how)
        batch = generate(llama, ["Why?", TALK, one], max_new_tokens=6, **how)
        assert batch[1] == alone
        assert generate(llama, [TALK], max_new_tokens=6, system="Other.", **how) == [alone]
    (ids,) = encode_chat(llama, [TALK])
    text = llama.tokenizer.decode(ids)
    order = [
        text.index(part) for part in ("Be short.", "Tea?", "Please.", "With", "No milk", "Sug")
    ]
    assert order == sorted(order)
    with pytest.raises(RoleLensError, match="conversation 0 has no message to answer"):
        generate(llama, [Conversation()])


def test_monitor_projects_every_turn(llama, vectors):
    direction = vectors.direction("poet", layer=1)
    table = monitor(llama, TALK, {"poet": direction}, layer=1)
    assert table["turn"].tolist() == [1, 1, 2, 2, 3]
    assert table["speaker"].tolist() == ["user", "assistant"] * 2 + ["user"]
    assert table["text"].tolist()[1::2] == ["Please.", "No milk."]
    # By hand: the tokens of the last message, and the template's before its answer.
    (ids,) = encode_chat(llama, [TALK])
    text = llama.tokenizer.decode(ids)
    tail = text[text.rindex("Sugar?") :]
    n = len(llama.tokenizer(tail, add_special_tokens=False)["input_ids"])
    assert llama.tokenizer.decode(ids[-n:]) == tail
    states = activations_at(llama, [ids], [(1, -back) for back in range(1, n + 1)])[:, 0]
    along = states @ (direction / direction.norm())
    assert table["poet"].iloc[-1] == pytest.approx(float(along.mean()), rel=1e-4)
    assert table["poet (last)"].iloc[-1] == pytest.approx(float(along[0]), rel=1e-4)
    for speaker in ("user", "assistant"):
        some = table[table["speaker"] == speaker]
        np.testing.assert_allclose(some["poet (drift)"], some["poet"] - some["poet"].iloc[0])


def test_monitor_needs_a_conversation_and_directions(llama, vectors):
    direction = vectors.direction("poet", layer=1)
    for talk, directions, layer, message in (
        (Conversation(), {"poet": direction}, 1, "at least one message, got an empty one"),
        (TALK, {}, 1, "at least one direction"),
        (TALK, {"text": direction}, 1, "can't be called 'text'"),
        (TALK, {"poet": torch.ones(3)}, 1, "has 3 dimensions"),
        (TALK, {"poet": direction}, 9, "layer"),
    ):
        with pytest.raises(RoleLensError, match=message):
            monitor(llama, talk, directions, layer=layer)


@pytest.fixture
def talking(llama, vectors, tmp_path):
    vectors.save(tmp_path / "roles.safetensors")
    how = PatchOptions(vectors=tmp_path / "roles.safetensors", role="poet", layer=1)
    return Talking(llama, how, Conversation(), max_new_tokens=4, out=tmp_path / "talk.json")


def test_talking_goes_on_line_by_line(talking, llama, vectors, tmp_path):
    patch = vectors.add("poet", layer=1)
    first = generate(llama, "Tea?", patch=patch, max_new_tokens=4)
    said = talking.reply("Tea?")
    assert said.splitlines()[:-1] == first.splitlines()
    assert said.splitlines()[-1].startswith("[along poet: user ")
    assert Conversation.load(tmp_path / "talk.json") == talking.conversation
    assert "cook: Patch(add, layers [1], value 1" in talking.reply("/role Cook")
    assert "value 30" in talking.reply("/strength 30")
    cook = vectors.add("cook", layer=1, coefficient=30.0)
    asked = talking.conversation.said("Go on.")
    talking.reply("Go on.")
    assert talking.conversation.turns[-1][1] == generate(llama, asked, patch=cook, max_new_tokens=4)
    assert talking.reply("/plain") == "Plain."
    asked = talking.conversation.said("And now?")
    talking.reply("And now?")
    assert talking.conversation.turns[-1][1] == generate(llama, asked, max_new_tokens=4)
    assert talking.reply("/back") == "Taken back; 2 turns are left."
    assert talking.reply("/system Be a poet.") == "System message: Be a poet."
    assert talking.reply(f"/save {tmp_path}/other.json").startswith("5 messages -> ")
    assert talking.reply("/new") == "A new conversation."
    assert talking.conversation == Conversation(system="Be a poet.")
    assert talking.reply("  ") == ""
    assert "/strength X" in talking.reply("/help")
    talking.reply("/quit")
    assert talking.ended


def test_a_file_that_ends_before_its_answer_can_go_on(talking):
    talking.conversation = Conversation().said("Tea?")
    with pytest.raises(RoleLensError, match="isn't answered yet"):
        talking.reply("Hello?")
    assert talking.reply("/back") == "Taken back; 0 turns are left."
    talking.reply("Hello?")
    assert len(talking.conversation.turns) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/dance", "unknown command /dance"),
        ("/role poem", "unknown role 'poem': did you mean 'poet'"),
        ("/strength much", "a strength must be a number"),
        ("/back", "nothing to take back"),
        ("/save", "/save needs a file"),
    ],
)
def test_what_can_not_be_done_leaves_all_as_it_was(talking, line, message):
    before = (talking.patching, talking.conversation)
    with pytest.raises(RoleLensError, match=message):
        talking.reply(line)
    assert (talking.patching, talking.conversation) == before


def test_chat_and_monitor_from_the_command_line(llama, vectors, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "model"
    tiny_hf("llama").save_pretrained(folder)
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder)
    model = load_model(str(folder))

    RoleVectors.fit(model, ROLES, BASE, compute=QUIET).save(tmp_path / "roles.safetensors")
    patching = ["--vectors", f"{tmp_path}/roles.safetensors", "--layer", "1"]
    common = ["--model", str(folder)]
    monkeypatch.setattr("sys.stdin", io.StringIO("Tea?\n/strength nine\n/strength 9\nGo on.\n"))
    out = tmp_path / "talk.json"
    chat = ["chat", *common, *patching, "--role", "poet", "--out", str(out)]
    assert main([*chat, "--max-new-tokens", "4"]) == 0
    printed = capsys.readouterr().out
    assert "Steered by poet: Patch(add, layers [1], value 1" in printed
    assert "a strength must be a number, got 'nine'" in printed
    assert "value 9" in printed
    assert len(Conversation.load(out).turns) == 2
    watched = ["monitor", *common, *patching, "--roles", "poet", "cook", "--conversation", str(out)]
    assert main([*watched, "--out", f"{tmp_path}/watched"]) == 0
    assert (tmp_path / "watched" / "turns.png").exists()
    assert (tmp_path / "watched" / "turns.parquet").exists()
    assert "assistant" in capsys.readouterr().out
