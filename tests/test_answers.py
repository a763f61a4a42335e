"""Generated texts of many forms, and the answer that a careful reader would find in each."""

from fractions import Fraction

import pytest

from role_lens.evaluation.answers import read_letter, read_number

LETTERS = [
    # Stated.
    ("The answer is (B).", "B"),
    ("The answer is B", "B"),
    ("the answer is: C", "C"),
    ("The correct answer is D. Inflation.", "D"),
    ("The best answer is **A**.", "A"),
    ("Answer: B", "B"),
    ("**Answer:** C", "C"),
    ("**Answer: C**", "C"),
    ("Answer:\n\nD", "D"),
    ("Final answer: (a)", "A"),
    ("The answer is option B.", "B"),
    ("The correct option is C.", "C"),
    ("The correct choice would be (D)", "D"),
    ('The answer is "B".', "B"),
    ("The answer is $\\boxed{B}$.", "B"),
    ("So we get \\boxed{C}", "C"),
    ("\\boxed{\\text{D}}", "D"),
    ("\\boxed{(A)}", "A"),
    ("\\boxed{B. 42}", "B"),
    ("$\\boxed{\\mathrm{C}}$", "C"),
    ("The answer is A because prices rise.", "A"),
    ("The answer is A, since demand falls.", "A"),
    ("Option B is correct.", "B"),
    ("(C) is the correct answer.", "C"),
    ("Therefore, D is the best choice.", "D"),
    ("A is wrong, C is right.", "C"),
    ("The answer is (B), and not (C).", "B"),
    # Changed on the way: the last statement counts.
    ("The answer is A. Wait, that ignores taxes. The answer is C.", "C"),
    ("Answer: A\n\nOn reflection the answer is \\boxed{D}.", "D"),
    ("\\boxed{A} was my first guess. The answer is B.", "B"),
    ("First I thought the answer is (D), but (A) is correct.", "A"),
    # Alone.
    ("B", "B"),
    (" C\n", "C"),
    ("(D)", "D"),
    ("**A**", "A"),
    ("B.", "B"),
    ("B. Paris", "B"),
    ("C) The mitochondrion makes energy.", "C"),
    ("(D): All of these", "D"),
    ("Supply falls while demand stays.\nSo the price rises.\n\nC", "C"),
    ("Let me think.\n\n**(B)**", "B"),
    # After reasoning.
    ("<think>The answer is A? No.</think>The answer is (C).", "C"),
    ("<think>Perhaps B.</think>\n\nD", "D"),
    ("<think>A</think><think>more</think>Answer: B", "B"),
    ("reasoning without an opening mark, the answer is A</think>\nB", "B"),
    # Nothing stated, or nothing that can be told.
    ("", None),
    ("   \n", None),
    ("I don't know.", None),
    ("A dog is an animal.", None),
    ("A", "A"),
    ("The answer is a matter of taste.", None),
    ("The answer is A matter of taste.", None),
    ("The answer is not B.", None),
    ("The answer isn't B.", None),
    ("The answer is either A or B.", None),
    ("The answer is A or B.", None),
    ("The answer is A and C.", None),
    ("Answer: B, C", None),
    ("The answer is (E).", None),
    ("E", None),
    ("\\boxed{42}", None),
    ("The answer is Paris.", None),
    ("A. Paris\nB. Rome\nC. Bonn\nD. Oslo", None),
    ("A. Paris\nB. Rome\nC. Bonn\nD. Oslo\nAnswer:", None),
    ("A. Paris\nB. Rome\nC. Bonn\nD. Oslo\nAnswer: D", "D"),
    ("Answer with the letter of the correct answer.", None),
    ("The answer is", None),
    ("<think>The answer is B, I am sure of it", None),
    ("It depends on Vitamin C", None),
    ("B is incorrect.", None),
    ("Choose the answer: Apples are red.", None),
    ("The answer is I think B", None),
    ("D-day was in 1944.", None),
    ("A. It falls\nB. It stays\nC. It rises\nD", None),
    ("A. It falls\nB. It stays\nC. It rises\nD. Nothing\n\nB", "B"),
]

NUMBERS = [
    ("The answer is 42.", 42),
    ("The answer is $1,234.50.", Fraction("1234.5")),
    ("#### 18", 18),
    ("She has 3 + 4 = 7 left.\n#### 7", 7),
    ("\\boxed{-3}", -3),
    ("$\\boxed{12}$ apples", 12),
    ("The answer is 18 dollars.", 18),
    ("Answer: 0.5", Fraction(1, 2)),
    ("Answer: .5", Fraction(1, 2)),
    ("The answer is 3/4.", Fraction(3, 4)),
    ("The answer is **72**.", 72),
    ("The answer is 25%.", 25),
    ("The answer is €30.", 30),
    ("The answer is −5", -5),
    ("First the answer is 5. Then, corrected, the answer is 6.", 6),
    ("2 + 2 is four, so\n\n4", 4),
    ("**10**", 10),
    ("<think>it is 3</think>The answer is 4", 4),
    ("The answer is 60 + 60 = 120 meters.", 120),
    ("The answer is $3 * (2 + 1) = 9", 9),
    ("The answer is 2 * 3 = 6 = 6.0", 6),
    ("The answer is 60 + 60.", None),
    ("The answer is 4 * 5", None),
    ("There are 12 apples and 5 pears.", None),
    ("The answer is 5 or 6.", None),
    ("The answer is 5-6.", None),
    ("The answer is twelve.", None),
    ("The answer is 1/0.", None),
    ("<think>so 12", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letter"), LETTERS)
def test_letters(text, letter):
    found = read_letter(text, 4)
    assert (None if found is None else "ABCD"[found]) == letter


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_numbers(text, number):
    assert read_number(text) == number


def test_more_choices_allow_more_letters():
    assert read_letter("The answer is (J).", 10) == 9
    assert read_letter("The answer is (J).", 4) is None


def test_a_long_text_is_read_quickly_enough():
    assert read_letter("(" * 50_000 + "the answer is " * 5_000, 4) is None
    assert read_number("\\boxed{" * 20_000 + "1," * 20_000) is None
    assert read_number("The answer is " + "1+" * 50_000) is None
