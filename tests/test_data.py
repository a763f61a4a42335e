"""The built-in prompts and questions: complete, distinct, matched in form, and our own."""

import json
import re
from collections import Counter
from itertools import combinations

import pytest
from scipy.stats import ks_2samp

from role_lens import load_prompts, load_questions, load_roles

OPENINGS = (
    "What is", "What are", "How do I", "How can", "Why", "When", "Which", "Should I",
    "Can you", "My", "Explain", "Describe", "Compare", "Write", "List", "I",
)  # fmt: skip


def opening(prompt: str) -> str:
    return next((o for o in OPENINGS if prompt.startswith(f"{o} ")), prompt.split()[0])


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


@pytest.fixture(scope="module")
def roles():
    return load_roles("builtin")


@pytest.fixture(scope="module")
def base():
    return load_prompts("builtin")


def test_counts(roles, base):
    assert len(roles) == 29
    assert {len(prompts) for prompts in roles.values()} == {64}
    assert len(base) == 256


def test_no_prompt_twice(roles, base):
    everything = [p.lower() for prompts in roles.values() for p in prompts] + [
        p.lower() for p in base
    ]
    assert [p for p, n in Counter(everything).items() if n > 1] == []


def test_no_near_repeats_within_a_role(roles, base):
    for name, prompts in {**roles, "base": base}.items():
        sets = [words(p) - words(opening(p)) for p in prompts]
        for (i, a), (j, b) in combinations(enumerate(sets), 2):
            assert len(a & b) / len(a | b) < 0.6, f"{name}: {prompts[i]!r} {prompts[j]!r}"


def test_prompts_do_not_name_their_role(roles):
    for role, prompts in roles.items():
        for prompt in prompts:
            assert not re.search(rf"\b{role}s?\b", prompt.lower()), prompt


def test_openings_match(roles, base):
    share = Counter(map(opening, base))
    for prompts in roles.values():
        counts = Counter(map(opening, prompts))
        assert set(counts) == set(share) == set(OPENINGS)
        for phrase, n in counts.items():
            assert abs(n / len(prompts) - share[phrase] / len(base)) < 0.03, phrase


def test_lengths_match(roles, base):
    base_lengths = [len(p.split()) for p in base]
    pooled = [len(p.split()) for prompts in roles.values() for p in prompts]
    assert ks_2samp(base_lengths, pooled).pvalue > 0.05
    for role, prompts in roles.items():
        lengths = [len(p.split()) for p in prompts]
        assert ks_2samp(base_lengths, lengths).pvalue > 0.05, role


def test_last_characters_match(roles, base):
    share = sum(p.endswith("?") for p in base) / len(base)
    for prompts in roles.values():
        assert abs(sum(p.endswith("?") for p in prompts) / len(prompts) - share) < 0.03


def test_questions():
    questions = load_questions("builtin")
    domains = Counter(q.domain for q in questions)
    assert len(domains) == 8
    assert set(domains.values()) == {120}
    assert len({q.question.lower() for q in questions}) == len(questions)
    for domain in domains:
        part = [q for q in questions if q.domain == domain]
        subjects = {q.subject for q in part}
        assert len(subjects) == 5
        for subject in subjects:
            answers = Counter(q.answer for q in part if q.subject == subject)
            assert answers == dict.fromkeys(range(4), 6), subject
        longest = sum(
            all(len(q.choices[q.answer]) > len(c) for i, c in enumerate(q.choices) if i != q.answer)
            for q in part
        )
        assert longest <= 36, f"{domain}: the right choice is the longest in {longest} of 120"
    for q in questions:
        assert len(q.choices) == 4
        assert len({c.lower() for c in q.choices}) == 4


def test_no_reference_text_in_the_package(roles, base, reference):
    """Neither whole texts nor runs of eight words of the reference data (non-commercial)."""

    def runs(texts):
        for text in texts:
            tokens = re.findall(r"[a-z0-9']+", text.lower())
            yield from (" ".join(tokens[i : i + 8]) for i in range(len(tokens) - 7))

    ours = [p for prompts in roles.values() for p in prompts] + base
    ours += [q.question for q in load_questions("builtin")]
    theirs = [
        json.loads(line)[field]
        for folder, field in (("roles", "instruction"), ("base", "instruction"))
        for path in (reference / folder).glob("*.jsonl")
        for line in path.read_text().split("\n")
        if line
    ]
    theirs += [
        json.loads(line)["question"]
        for folder in ("mmlu/dev", "mmlu/val", "mmlu/test", "benchmarks")
        for path in (reference / folder).glob("*.jsonl")
        for line in path.read_text().split("\n")
        if line
    ]
    assert not {t.lower() for t in ours} & {t.lower() for t in theirs}
    assert set(runs(ours)) & set(runs(theirs)) == set()
