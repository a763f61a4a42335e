import math

import numpy as np
import pytest
import torch
from tiny import (
    CHAT_TEMPLATE,
    QUIET,
    items_of,
    tiny_bridge,
    tiny_hf,
    tiny_tokenizer,
    unchecked,
)

from role_lens import (
    Asking,
    Compute,
    Patch,
    Question,
    RoleLensError,
    evaluate,
    generate,
    load_model,
    load_questions,
    summarize,
)
from role_lens.chat import chat_text, has_chat_template
from role_lens.questions.question import LETTERS, question_text
from role_lens.scoring import Asker
from role_lens.scoring.method import METHODS, ScoringMethod


def question(n=4, number=0):
    choices = tuple(f"choice {'x' * (i + number)}" for i in range(n))
    return Question(f"q{number}", f"Which, {number}?", choices, number % n, "s", "d")


ALONE = Compute(max_tokens=1, progress=False)
QUESTIONS = [question(4, 0), question(3, 1), question(2, 2), question(6, 3)]


@torch.no_grad()
def logprob(model, prompt, continuation, special):
    """Sum of log p of the continuation's tokens, one sequence at a time."""
    tokenizer = model.tokenizer
    start = tokenizer(prompt, add_special_tokens=special)["input_ids"]
    end = tokenizer(continuation, add_special_tokens=False)["input_ids"]
    logits = model(torch.tensor([start + end]))[0].float().log_softmax(-1)
    return sum(float(logits[len(start) + i - 1, token]) for i, token in enumerate(end)), len(end)


def prompts(model, q):
    if has_chat_template(model):
        return chat_text(model, question_text(q)), chat_text(model, q.question), ""
    return question_text(q), f"Question: {q.question}\nAnswer:", " "


def test_letter_scores_by_hand(model):
    table = evaluate(model, QUESTIONS, {"baseline": None}, compute=QUIET)
    for q, row in zip(QUESTIONS, table.itertuples(), strict=True):
        prompt, _, space = prompts(model, q)
        special = not has_chat_template(model)
        expected = [
            logprob(model, prompt, space + LETTERS[i], special)[0] for i in range(len(q.choices))
        ]
        found = [getattr(row, f"logprob_{i}") for i in range(len(q.choices))]
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert row.predicted == int(np.argmax(expected))
        assert row.correct == (row.predicted == q.answer)
        mass = sum(math.exp(x) for x in expected)
        assert row.choice_mass == pytest.approx(mass, rel=1e-2)
        assert row.logprob_correct == pytest.approx(expected[q.answer] - math.log(mass), abs=1e-3)
    assert math.isnan(table["logprob_5"][0])
    assert table["n_choices"].tolist() == [4, 3, 2, 6]


def test_cloze_scores_by_hand(model):
    patch = Patch.add(torch.ones(model.cfg.d_model), layer=1, coefficient=0.3)
    table = evaluate(model, QUESTIONS, {"x": patch}, asking=Asking("cloze"), compute=QUIET)
    for q, row in zip(QUESTIONS, table.itertuples(), strict=True):
        _, prompt, space = prompts(model, q)
        with patch.on(model):
            pairs = [
                logprob(model, prompt, space + c, not has_chat_template(model)) for c in q.choices
            ]
        means = [total / length for total, length in pairs]
        found = [getattr(row, f"logprob_{i}") for i in range(len(q.choices))]
        np.testing.assert_allclose(found, means, atol=1e-3)
        normaliser = math.log(sum(map(math.exp, means)))
        assert row.logprob_correct == pytest.approx(means[q.answer] - normaliser, abs=1e-3)


def test_no_question_is_its_own_example(llama):
    shot, asked = question(2, 1), question(2, 0)
    with pytest.raises(RoleLensError, match=rf"{asked.id} is one of the examples"):
        evaluate(llama, [asked], {"baseline": None}, Asking(examples=(shot, asked)), compute=QUIET)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_questions_and_examples_have_the_same_form(model, scoring):
    """In a chat each example is a turn with its answer; else all are one text."""
    shot, asked = question(2, 1), question(2, 0)
    (item,) = items_of(model, [asked], scoring, [shot])
    if has_chat_template(model):
        ask = question_text if scoring == "letter" else lambda one: one.question
        answer = "B" if scoring == "letter" else shot.choices[1]
        messages = [
            {"role": "user", "content": ask(shot)},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": ask(asked)},
        ]
        text = model.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        wanted = model.tokenizer(text.rstrip(" "), add_special_tokens=False)["input_ids"]
    else:
        text = {
            "letter": f"{question_text(shot)} B\n\n{question_text(asked)}",
            "cloze": f"Question: {shot.question}\nAnswer: {shot.choices[1]}\n\n"
            f"Question: {asked.question}\nAnswer:",
        }[scoring]
        wanted = model.tokenizer(text)["input_ids"]
    assert list(item.prompt) == wanted


def test_a_template_that_takes_no_answers_gets_examples_in_one_turn():
    template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}"
        "{{ raise_exception('no answers') }}{% endif %}<{{ m['content'] }}>{% endfor %}"
    )
    model = load_model(tiny_hf("llama"), tokenizer=tiny_tokenizer(template=template))
    shot, asked = question(2, 1), question(2, 0)
    (item,) = items_of(model, [asked], "letter", [shot])
    text = f"<{question_text(shot)} B\n\n{question_text(asked)}>"
    assert list(item.prompt) == model.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_batch_size_does_not_matter(llama, scoring):
    patches = {"baseline": None, "ablate": Patch.ablate(torch.ones(32))}
    together = evaluate(llama, QUESTIONS, patches, Asking(scoring), compute=QUIET)
    alone = evaluate(llama, QUESTIONS, patches, Asking(scoring), compute=ALONE)
    columns = [c for c in together if c.startswith("logprob")]
    np.testing.assert_allclose(together[columns], alone[columns], atol=1e-4)


@pytest.mark.parametrize(
    "tokens",
    ["prompt", "generated", "last", "answer", "not_first", "prompt[2:-3]", "answer[:1]"],
)
def test_token_masks_in_cloze(llama, tokens):
    """The prompt ends in another column for every choice; alone there is no padding."""
    patch = Patch.add(torch.ones(32), layer=1, coefficient=2.0, tokens=tokens)
    cloze = Asking("cloze")
    together = evaluate(llama, QUESTIONS, {"x": patch}, cloze, compute=QUIET)
    alone = evaluate(llama, QUESTIONS, {"x": patch}, cloze, compute=ALONE)
    plain = evaluate(llama, QUESTIONS, {"x": None}, cloze, compute=QUIET)
    np.testing.assert_allclose(together["logprob_0"], alone["logprob_0"], atol=1e-4)
    assert (together["logprob_0"] - plain["logprob_0"]).abs().max() > 1e-3


def test_letters_of_several_tokens_are_scored_as_sequences():
    """As of a tokenizer that knows no letter whole: here of one that takes bytes of Greek ones."""
    tokenizer = tiny_tokenizer(template=CHAT_TEMPLATE, merged=("AA",))
    model = tiny_bridge("llama", tokenizer=tokenizer)
    q = Question("q", "Which?", ("AA", "xyz"), 0, "s", "d")
    # Unlike letters, texts may have several tokens; by their sums they are scored as letters are.
    table = evaluate(model, [q], {"b": None}, Asking("cloze"), compute=QUIET)
    prompt = chat_text(model, "Which?")
    for i, text in enumerate(q.choices):
        total, n = logprob(model, prompt, text, False)
        assert table[f"logprob_{i}"][0] == pytest.approx(total / n, abs=1e-3)


def test_methods_are_found_by_the_names_of_their_files():
    assert METHODS.names == ("cloze", "letter")
    assert all(isinstance(METHODS[name], ScoringMethod) for name in METHODS)
    with pytest.raises(
        RoleLensError, match="unknown scoring 'odds': expected one of cloze, letter"
    ):
        Asking("odds")
    with pytest.raises(RoleLensError, match="template must be one of"):
        unchecked(Asking(), template="exam")


def test_each_question_is_tokenised_once_and_weights_are_hashed_once(llama, monkeypatch):
    asked, read = [], []
    tokenizer = type(llama.tokenizer)
    encode, parameters = tokenizer.__call__, type(llama).named_parameters

    def counted(self, text, *args, **options):
        asked.append(text)
        return encode(self, text, *args, **options)

    monkeypatch.setattr(tokenizer, "__call__", counted)
    monkeypatch.setattr(
        type(llama), "named_parameters", lambda self: read.append(1) or parameters(self)
    )
    asker = Asker(llama)
    some, all_of_them = asker.ask(QUESTIONS[:2]), asker.ask(QUESTIONS)
    assert some.identity["questions"] != all_of_them.identity["questions"]
    assert some.identity["weights"] == all_of_them.identity["weights"]
    assert len(asked) == len(set(asked))
    assert len(read) == 1


def test_26_choices(llama):
    q = Question("q", "Which?", tuple(LETTERS.lower()), 25, "s", "d")
    table = evaluate(llama, [q], {"b": None}, asking=Asking(template="mmlu"), compute=QUIET)
    assert table["logprob_25"].notna().all()


def test_more_choices_than_letters(llama):
    """Texts of choices can be scored, letters can't."""
    q = Question("q", "Which?", tuple(f"the {i}th" for i in range(30)), 29, "s", "d")
    table = evaluate(llama, [q], {"b": None}, asking=Asking("cloze"), compute=QUIET)
    assert table["logprob_29"].notna().all()
    with pytest.raises(RoleLensError, match=r"q has 30 options, .* use scoring='cloze'"):
        evaluate(llama, [q], {"b": None}, compute=QUIET)


def test_shape_of_the_table_and_summary(llama):
    patches = {"baseline": None, "two": [Patch.ablate(torch.ones(32))] * 2}
    table = evaluate(llama, QUESTIONS, patches, compute=QUIET)
    assert table["patch"].tolist() == ["baseline"] * 4 + ["two"] * 4
    assert table["question_id"].tolist() == [q.id for q in QUESTIONS] * 2
    summary = summarize(table)
    assert summary["patch"].tolist() == ["baseline", "two"]
    assert summary["chance"][0] == pytest.approx((1 / 4 + 1 / 3 + 1 / 2 + 1 / 6) / 4)
    assert summary["accuracy"][0] == table["correct"][:4].mean()
    for score, column in (("correct", "accuracy_se"), ("margin", "margin_se")):
        of_one = table[score].to_numpy(dtype=float)[:4]
        by_hand = np.sqrt(((of_one - of_one.mean()) ** 2).sum() / (3 * 4))
        assert summary[column][0] == pytest.approx(by_hand)
    for missing in ("logprob_correct", "choice_mass", "n_choices"):
        with pytest.raises(RoleLensError, match="expected a table that evaluate returns"):
            summarize(table.drop(columns=missing))


@pytest.mark.parametrize(
    ("questions", "patches", "message"),
    [
        ([], {"b": None}, "at least one question"),
        (QUESTIONS, {}, "at least one question and one patch"),
        ([Question("q", "x" * 300, ("a", "b"), 0, "s", "d")], {"b": None}, "context of 256"),
        (QUESTIONS, {"b": Patch.ablate(torch.ones(5))}, "5 dimensions"),
    ],
)
def test_bad_input(llama, questions, patches, message):
    with pytest.raises(RoleLensError, match=message):
        evaluate(llama, questions, patches, compute=QUIET)


@pytest.mark.packaged
def test_packaged_model_beats_chance_on_the_builtin_questions_by_cloze(packaged):
    questions = load_questions("builtin", domain="natural_science")
    table = evaluate(packaged, questions, {"baseline": None}, asking=Asking("cloze"), compute=QUIET)
    assert summarize(table)["accuracy"][0] > 0.4


def test_overflow_is_an_error():
    model = tiny_bridge("llama").to(torch.float16)
    patch = Patch.add(torch.ones(32), layer=1, coefficient=1e6)
    with pytest.raises(RoleLensError, match="NaN or infinite"):
        evaluate(model, QUESTIONS, {"x": patch}, compute=QUIET)
    with pytest.raises(RoleLensError, match="NaN or infinite"):
        generate(model, "Hi", patch=patch, max_new_tokens=2)
