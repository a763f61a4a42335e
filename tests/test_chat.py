"""Formatting by chat templates: dates, arguments, parts, and the assistant's own turn."""

import datetime
import json
import shutil
import warnings

import pytest
from tiny import BASE, CHAT_TEMPLATE, QUIET, ROLES, items_of, tiny_bridge, tiny_tokenizer
from transformers.utils import chat_template_utils

from role_lens import (
    Asking,
    Grid,
    Question,
    RoleLensError,
    RoleVectors,
    chat_text,
    evaluate,
    generate,
    load_model,
    sweep,
)
from role_lens._run.tokens import stop_token_ids
from role_lens.models import local_folder
from role_lens.questions import question_text

DATED = "<|start|>system\nToday: {{ strftime_now('%d %b %Y') }}<|end|>\n" + CHAT_TEMPLATE
THINKS = CHAT_TEMPLATE.removesuffix("{% endif %}") + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
TONE = "{{ tone }}"
OPENS = CHAT_TEMPLATE.removesuffix("{% endif %}") + "<think>\n{% endif %}"
PARTS = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)
VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: {{ m['content'] }}\n"
    "{% else %}ASSISTANT: {{ m['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
QUESTIONS = [
    Question(f"q{n}", f"What is {n}?", ("red", "blue", "green"), n % 3, "x", "x") for n in range(4)
]


def with_template(template, **options):
    return tiny_bridge("llama", tokenizer=tiny_tokenizer(template=template, **options))


def text_of(model, ids):
    return [model.tokenizer.decode([one]) for one in ids]


class Tomorrow(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=1)


def test_a_date_in_the_template_is_the_same_on_all_days(tmp_path, monkeypatch):
    """Vectors, texts and run folders of today go on tomorrow."""
    model = with_template(DATED)
    assert "Today: 26 Jul 2024" in chat_text(model, "Hi")
    vectors = RoleVectors.fit(model, ROLES, BASE, compute=QUIET)
    assert vectors.provenance["chat_template_date"] == "2024-07-26"
    grid = Grid(layers=(1,))
    first = sweep(model, vectors, QUESTIONS, tmp_path, grid, compute=QUIET)
    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    assert sweep(model, vectors, QUESTIONS, tmp_path, grid, compute=QUIET).equals(first)
    identity = json.loads((tmp_path / "identity.json").read_text())
    assert identity["chat_template_date"] == "2024-07-26"


def test_no_date_is_recorded_where_none_is_printed(llama, vectors):
    assert "chat_template_date" not in vectors.provenance
    assert "chat_template_kwargs" not in vectors.provenance


def test_template_arguments():
    model = with_template(THINKS)
    assert chat_text(model, "Hi").endswith("assistant\n")
    same = load_model(model, chat_template_kwargs={"enable_thinking": False})
    assert same is model
    assert chat_text(model, "Hi").endswith("</think>\n\n")
    vectors = RoleVectors.fit(model, ROLES, BASE, compute=QUIET)
    assert vectors.provenance["chat_template_kwargs"] == {"enable_thinking": False}
    load_model(model, chat_template_kwargs={})
    assert chat_text(model, "Hi").endswith("assistant\n")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"enable_thinkng": False}, "doesn't use 'enable_thinkng'"),
        # Words of the template that are no arguments.
        ({"role": "x"}, "doesn't use 'role'"),
        ({"content": "x"}, "doesn't use 'content'"),
        ({"if": 1}, "doesn't use 'if'"),
        ({"m": 1}, "doesn't use 'm'"),
        ({"enable_thinking is": 1}, "doesn't use 'enable_thinking is'"),
        ({"tokenize": True}, "can't set 'tokenize'"),
        ({"raise_exception": 1}, "can't set 'raise_exception'"),
        ({"enable_thinking": float("nan")}, "must be JSON values"),
        ({"enable_thinking": object()}, "must be JSON values"),
        (["enable_thinking"], "must be a mapping"),
    ],
)
def test_template_arguments_that_can_not_be(as_users_have_it, kwargs, message):
    with pytest.raises(RoleLensError, match=message):
        load_model(with_template(THINKS), chat_template_kwargs=kwargs)


@pytest.mark.parametrize(
    "template",
    [
        "{% set tone = tone | default('dry') %}" + CHAT_TEMPLATE + TONE,
        "{% if tone is not defined %}{% set tone = 'dry' %}{% endif %}" + CHAT_TEMPLATE + TONE,
        CHAT_TEMPLATE + "{% macro end() %}{{ tone or 'dry' }}{% endmacro %}{{ end() }}",
        # With tags of transformers's own.
        CHAT_TEMPLATE.replace("{% endfor", "{% if tone == 'x' %}{% break %}{% endif %}{% endfor")
        + "{%- generation -%}{{ tone or 'dry' }}{% endgeneration %}",
    ],
)
def test_template_arguments_are_found(template):
    model = with_template(template)
    assert chat_text(model, "Hi").endswith("dry")
    load_model(model, chat_template_kwargs={"tone": "mild"})
    assert chat_text(model, "Hi").endswith("mild")


def test_a_template_that_can_not_be_read():
    with pytest.raises(RoleLensError, match="the chat template can't be read: "):
        load_model(with_template("{% if %}"), chat_template_kwargs={"tone": "dry"})


def test_base_models_take_no_template_arguments():
    with pytest.raises(RoleLensError, match="has no chat template"):
        load_model(tiny_bridge("gpt2"), chat_template_kwargs={"enable_thinking": False})


def test_other_template_arguments_are_another_run(tmp_path):
    model = with_template(THINKS)
    vectors = RoleVectors.fit(model, ROLES, BASE, compute=QUIET)
    run = (model, vectors, QUESTIONS, tmp_path, Grid(layers=(1,)))
    sweep(*run, compute=QUIET)
    load_model(model, chat_template_kwargs={"enable_thinking": False})
    with pytest.raises(RoleLensError, match=r"chat_template_kwargs \(None there, .*False"):
        sweep(*run, compute=QUIET)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_options_after_an_opened_think_are_warned_of(scoring):
    model = with_template(OPENS)
    with pytest.warns(UserWarning, match="opens a block of reasoning"):
        evaluate(model, QUESTIONS, {"b": None}, Asking(scoring), compute=QUIET)


def test_no_warning_once_thinking_is_off():
    model = with_template(THINKS)
    load_model(model, chat_template_kwargs={"enable_thinking": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(model, QUESTIONS, {"b": None}, compute=QUIET)


def test_content_in_parts():
    model = with_template(PARTS)
    assert chat_text(model, "Tea?", "Be brief.") == "SYSTEM: Be brief. USER: Tea? ASSISTANT:"


@pytest.mark.parametrize(
    ("template", "system", "message"),
    [
        ("{% for m in messages %}{{ m['role'] }}:{% endfor %}", None, "leaves the user's message"),
        ("{{ messages[-1]['content'] }}", "Be brief.", "leaves system messages out"),
        ("{{ raise_exception('no') }}", None, "refuses this conversation: no"),
    ],
)
def test_templates_that_leave_something_out(template, system, message):
    model = with_template(template)
    with pytest.raises(RoleLensError, match=message):
        chat_text(model, "What is the capital of France?", system)
    with pytest.raises(RoleLensError, match=message):
        generate(model, "What is the capital of France?", system=system)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, VICUNA.replace("T:{% endif", "T: {% endif")])
def test_a_template_that_needs_a_system_message(template, scoring):
    """Also where a space at the end has to be looked at, and where the end of an answer is."""
    need = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no') }}{% endif %}"
    model = with_template(need + template, merged=(" A", " Zebra"))
    free = with_template(template, merged=(" A", " Zebra"))
    with pytest.raises(RoleLensError, match="refuses this conversation: no"):
        generate(model, "Hi")
    assert chat_text(model, "Hi", "S") == chat_text(free, "Hi", "S")
    assert stop_token_ids(model, "S") == stop_token_ids(free, "S")
    options = {"system": "S", "max_new_tokens": 8}
    assert generate(model, "Hi", **options) == generate(free, "Hi", **options)
    tables = [
        evaluate(one, QUESTIONS, {"b": None}, Asking(scoring, system="S"), compute=QUIET)
        for one in (model, free)
    ]
    assert tables[0].equals(tables[1])


def test_white_space_that_a_template_changes_is_no_matter():
    model = with_template("{% for m in messages %}{{ m['content'] | trim }};{% endfor %}")
    assert chat_text(model, "  Tea?\n") == "Tea?;"


@pytest.mark.parametrize(
    ("template", "lead", "stop"),
    [
        (CHAT_TEMPLATE, "", "<|end|>"),
        (INST, " ", "<|end|>"),
        (VICUNA, " ", None),
        # Without a token for it, nothing but the tokenizer's own end of text ends an answer.
        (CHAT_TEMPLATE.replace("<|end|>", "[END]"), "", None),
    ],
)
@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_options_are_written_as_in_the_assistants_own_turn(template, lead, stop, scoring):
    """Llama 2's and Mistral's templates put a space before an answer, Vicuna's too."""
    model = with_template(template, merged=(" A", " B", " C", " red"))
    question = QUESTIONS[0]
    item = items_of(model, [question], scoring)[0]
    options = ("A", "B", "C") if scoring == "letter" else question.choices
    asked = question_text(question) if scoring == "letter" else question.question
    for option, tokens in zip(options, item.continuations, strict=True):
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": option}]
        own = model.tokenizer.apply_chat_template(turns, return_dict=False)
        assert own[: len(item.prompt)] == list(item.prompt)
        assert own[len(item.prompt) :][: len(tokens)] == list(tokens)
        assert "".join(text_of(model, tokens)) == lead + option
    if stop is not None:
        assert model.tokenizer.convert_tokens_to_ids(stop) in stop_token_ids(model)


def test_a_space_that_the_tokenizer_joins_with_the_answer_is_left_to_it():
    """ "ASSISTANT: " and then "A" would be two tokens where the model would write one."""
    template = VICUNA.replace("ASSISTANT:{% endif %}", "ASSISTANT: {% endif %}")
    joining = with_template(template, merged=(" A", " Zebra"))
    assert chat_text(joining, "Q").endswith("ASSISTANT:")
    apart = with_template(template, merged=("A",))
    assert chat_text(apart, "Q").endswith("ASSISTANT: ")
    ids = [items_of(model, QUESTIONS[:1])[0].continuations[0] for model in (joining, apart)]
    assert [text_of(m, one) for m, one in zip((joining, apart), ids, strict=True)] == [
        [" A"],
        ["A"],
    ]


def test_tokens_that_an_option_is_joined_with_go_with_all_options():
    model = with_template(None, merged=(": A",))
    item = items_of(model, QUESTIONS[:1])[0]
    assert [text_of(model, one) for one in item.continuations] == [
        [": A"],
        [":", " ", "B"],
        [":", " ", "C"],
    ]


@pytest.mark.packaged
def test_the_turns_end_token_ends_an_answer(packaged, tmp_path):
    """Some fine-tunes keep the base model's end of text, and end turns with another token."""
    folder = tmp_path / "fine-tune"
    shutil.copytree(local_folder("smollm2-135m-instruct"), folder)
    for file, key, value in (
        ("generation_config.json", "eos_token_id", 0),
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
    ):
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, key: value}))
    options = {"max_new_tokens": 40}
    answer = generate(packaged, "What is 2+2?", **options)
    assert generate(load_model(folder), "What is 2+2?", **options) == answer
