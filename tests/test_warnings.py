"""Warnings name the line that called the package, however deep inside it they come up."""

import warnings

import torch
from tiny import QUIET

from role_lens import Asking, Patch, Question, evaluate

QUESTIONS = [Question(f"q{n}", f"{n}?", ("a", "bc"), n % 2, "s", "d") for n in range(20)]


def test_place_of_a_warning(llama):
    late = Patch.add(torch.ones(32), layer=1, tokens="generated")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        evaluate(llama, QUESTIONS, {"p": late}, Asking("cloze"), compute=QUIET)
    (one,) = [w for w in found if "only later tokens" in str(w.message)]
    assert one.filename == __file__
