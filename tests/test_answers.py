"""Generated texts of many forms, and the answer that a careful reader would find in each."""

from fractions import Fraction

import pytest

from role_lens.scoring import read_letter, read_number

CHOICES = ["Bonn", "Paris", "Rome", "Oslo"]
LETTERS = [
    # Stated.
    ("The correct answer is:\n\n**B. Paris**", "B"),
    ("**Answer:**\n\nB. Paris", "B"),
    ("Answer:\n\nB) Paris", "B"),
    # Taken back.
    ("(B) is correct. Wait, it has to be C.", None),
    ("A. Bonn is wrong. B. Paris", None),
    ("\\boxed{A}\nWait, that is wrong. It is B.", None),
    ("A\n\nWait, that's wrong. It should be B.", None),
    ("The answer is B. Let me double check. Hmm, so it is C.", None),
    ("B. Paris\n\nThe other options are wrong.", "B"),
    # Going on with other questions.
    ("Answer: B\nQuestion: And the largest city?\nAnswer: C", "B"),
    ("B\n\n**Question 2:** And the largest city?\nAnswer: C", "B"),
    ("The answer is B or C\n\nQuestion: And the largest city?\nAnswer: D", None),
    ("First, the question once more.\nQuestion: Which is the capital?\nAnswer: B", "B"),
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
    ("The answer to the question is B.", "B"),
    ("The correct answer here is D.", "D"),
    ("The answer is most likely (B)", "B"),
    ("The answer is clearly B.", "B"),
    ("The answer is therefore (B)", "B"),
    ("The answer will be B", "B"),
    ("So B is the answer.", "B"),
    ("I choose B.", "B"),
    ("I would go with option (C).", "C"),
    ("\\boxed{b}", "B"),
    ("\\boxed{\\text{Option B}}", "B"),
    ("<answer>B</answer>", "B"),
    ("The answer is A\n\nthe market", "A"),
    ("The answer is ‘B’", "B"),
    ("Answer：B", "B"),
    ("The answer is (B) Paris", "B"),
    ("The answer is **B** Paris", "B"),
    ("The answer is B because A and C are wrong.", "B"),
    ('The answer is (B).\nFinish with "The answer is (X)", where X is the letter.', "B"),
    ("The answer is B\n\n#### Explanation\nIt rises.", "B"),
    ("The answer is C. While B is correct for small n, it fails.", "C"),
    ("The answer is (C). Note: Vitamin D is the right one", "C"),
    ("The answer is C. Statement A is correct and statement B is right.", "C"),
    ("The answer is D. Statement I is correct.", "D"),
    ("The answer is A. The other option is B.", "A"),
    ("Answer: C. The wrong answer is A.", "C"),
    ("The answer is A. My second choice would be B.", "A"),
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
    ("B. Paris, the capital.", "B"),
    ("(D): All of these", "D"),
    ("Supply falls while demand stays.\nSo the price rises.\n\nC", "C"),
    ("Let me think.\n\n**(B)**", "B"),
    ("B\n\nExplanation: prices rise.", "B"),
    ("**B** Paris", "B"),
    ("The answer is A\nBut A is wrong\nThe answer is C.", "C"),
    ("- A: incorrect\n- D: incorrect\n\nThe answer is (B).", "B"),
    ("M&M's\nAnswer: C", "C"),
    ("One might think the answer is A. The answer is B.", "B"),
    ("The answer is (D) both A and B", "D4"),
    ("**D**: both A and B", "D4"),
    ("The answer is (B). This answer is correct because of C.", "B"),
    ("\\boxed{C}\n\nThis answer is consistent with the text.", "C"),
    ("The answer is \\(B\\).", "B"),
    ("The answer is (**B**).", "B"),
    ("The answer is B - Paris", "B"),
    ("The answer is B (Paris).", "B"),
    ("Option C", "C"),
    ("Answer C", "C"),
    ("The correct response is D", "D"),
    ("The correct answer choice is C", "C"),
    ("Thus, **Option D** is the correct answer.", "D"),
    ("- B is correct.", "B"),
    ("The answer is A rather than B", "A"),
    ("The answer is indeed C.", "C"),
    ("### Answer\nB. Paris", "B"),
    ("The answer is (B)\n(B)", "B"),
    # After reasoning.
    ("<thinking>The answer is A</thinking>C", "C"),
    ("<|think|>The answer is A", None),
    ("<thinking>The answer is A", None),
    ("<think>The answer is A? No.</think>The answer is (C).", "C"),
    ("<think>Perhaps B.</think>\n\nD", "D"),
    ("<think>A</think><think>more</think>Answer: B", "B"),
    ("reasoning without an opening mark, the answer is A</think>\nB", "B"),
    # Nothing stated, or nothing that can be told.
    ("If the answer is (A), then prices rise.", None),
    ("Suppose the answer is A.", None),
    ("Let's check if the answer is A", None),
    ("It can't be that the answer is A.", None),
    ("Wait, maybe the answer is A?", None),
    ("The answer is (A)? Let me check.", None),
    ("Some students say the answer is A.", None),
    ("The least likely answer is A.", None),
    ("Your answer is A.", None),
    ("The answer is (A) if x > 0, otherwise (B).", None),
    ("The answer is (A). No wait, it's (B).", None),
    ("The answer is (A).\n\nCorrection: B.", None),
    ("A: Paris", None),
    ("A: I think it's Paris.", None),
    ("Answer:\nA\nB\nC\nD", None),
    ("The answer is (A)-(D)", None),
    ("The answer is (B) to (D)", None),
    ("The answer is (B) + (C)", None),
    ("The answer is (B) as well as (C)", None),
    ("A is correct.\nB is correct.\nC is correct.", None),
    ("Answer: (A) is not correct", None),
    ("Answer: A is incorrect", None),
    ("Neither A nor B is correct.", None),
    ("None of A, B, or C is correct.", None),
    ("I don't think B is correct.", None),
    ("If B is correct, then prices rise.", None),
    ("Plan B is the best choice for her.", None),
    ("Person A is right.", None),
    ("The wrong answer is B", None),
    ("The student's answer is B, which is wrong", None),
    ("The only other plausible option is (B), which fails.", None),
    ("The answer is A (or B).", None),
    ("The answer is A, possibly C.", None),
    ("The answer is B, or C.", None),
    ("The answer is B or, alternatively, C.", None),
    ("The answer is A and the B.", None),
    ("\\boxed{A \\text{ and } B}", None),
    ("The answer is C++.", None),
    ("The answer is B-cells.", None),
    ("The answer is B vitamins.", None),
    ("The answer is C major.", None),
    ("The answer is D = 3/4", None),
    ("The answer is A -> B", None),
    ("Answer: A Tale of Two Cities", None),
    ("C. elegans is a worm.", None),
    ("D. H. Lawrence wrote it", None),
    ("(A) is wrong because of taxes. (B) is right because of them. (C) is wrong.", None),
    ("The answer is (A) (B) (C)", None),
    ("Answer: A) B) C)", None),
    ("A\nB\nC\nD", None),
    ("Answer: ABCD", None),
    ("B) and C) are right", None),
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
    ("The answer is:\n\n18 dollars", 18),
    ("**Answer:**\n\n18 dollars", 18),
    ("#### 42", 42),
    ("\\boxed{9}. Wait, it is 8.", None),
    ("Answer: 5\nQ: And how many are left?\nAnswer: 7", 5),
    ("The answer is 42.", 42),
    ("The answer is $1,234.50.", Fraction("1234.5")),
    ("It is\n#### 18", 18),
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
    ("The answer is 10 apples - 3 apples = 7", 7),
    ("The answer is 5 x 4 = 20", 20),
    ("The answer is 10% of 50 = 5", 5),
    ("The answer is 20% of $50, which is $10", None),
    ("The answer is 3 times 4, which is 12", None),
    ("The answer is 5, 6, 7", None),
    ("The answer is 5 and 6", None),
    ("The answer is 5 hours 30 minutes", None),
    ("The answer is 3 out of 4", None),
    ("The answer is 5 million", None),
    ("The answer is 1.5e3", 1500),
    ("The answer is 2π", None),
    ("The answer is 5^2", None),
    ("The answer is 5/6/7", None),
    ("The answer is 18, because 9 * 2 is 18.", 18),
    ("The answer is 12 km.", 12),
    ("The answer is 12km", 12),
    ("\\boxed{1{,}234}", 1234),
    ("\\boxed{10^5}", None),
    ("\\boxed{\\frac{3}{4}}", Fraction(3, 4)),
    ("\\boxed{\\$18}", 18),
    ("\\boxed{x=5}", 5),
    ("The answer is x = 42", 42),
    ("The answer is approximately 42", 42),
    ("The answer is USD 500", 500),
    ("The answer is –5", -5),
    ("1.2.3", None),
    ("#### 1. Compute\nThe total is 3", None),
    ("The answer is 5\n#### Explanation\nfoo", 5),
    ("\\boxed{9}\n#### Verification 1", 9),
    ('2 * 9\n#### 18\nFinish with "The answer is N", where N is a number.', 18),
    ("The answer is " + "1" * 5_000, None),
    ("The answer is \\(18\\).", 18),
    ("The answer is ($5).", 5),
    ("The answer is 18. The answer is reasonable.", 18),
    ("\\boxed{3\\frac{1}{2}}", Fraction(7, 2)),
    ("\\boxed{\\frac12}", Fraction(1, 2)),
    ("\\boxed{90^\\circ}", 90),
    ("\\boxed{2\\pi}", None),
    ("1. 2 * 27 = 54\n2. 54 - 17 = 37\n3.", None),
    ("1)", None),
    ("#### 2\n\nThe rest", None),
    ("So 9 * 2 = 18.\n#### 18 dollars", 18),
    ("So 9 * 2 = 18.\n#### **18**", 18),
    ("If the answer is 5, then", None),
    ("The answer is 5\nThis is wrong\nThe answer is 6.", 6),
    ("The answer is 3 millions", None),
    ("The answer is 5 and a half", None),
    ("The answer is 5 or more", None),
    ("The answer is x = 5 or x = 6", None),
    ("The answer is 8 apples and 2 + 3 = 5 pears", None),
    ("The answer is 0.333...", None),
]


@pytest.mark.parametrize(("text", "letter"), LETTERS)
def test_letters(text, letter):
    # "D4": the fourth choice reads "both A and B".
    choices = [*CHOICES[:3], "both A and B"] if letter == "D4" else CHOICES
    found = read_letter(text, choices)
    assert (None if found is None else "ABCD"[found]) == (letter and letter[0])


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_numbers(text, number):
    assert read_number(text) == number


def test_a_last_word_that_was_cut_off_is_no_answer():
    for text in ("The answer is 1", "The answer is 12,", "The answer is 12.", "Well,\n\n7"):
        assert read_number(text, truncated=True) is None
        assert read_number(text) is not None or text.endswith(",")
    for rest in ("16 - 3", "12 × 6", "12 / 6", "12 or 15", "$5 million", "3 × 4 = 1", "5 ap"):
        assert read_number(f"The answer is {rest}", truncated=True) is None
    assert read_number("The answer is 5. Or the answer is 1", truncated=True) is None
    assert read_number("The answer is 12 because 3 × 4", truncated=True) == 12
    for rest in ("A or B", "A or", "A o", "(A) or (B", "(A) and", "(A) or Ber", "A Ber", "(A), Lo"):
        assert read_letter(f"The answer is {rest}", CHOICES, truncated=True) is None
    assert read_letter("The answer is (B) because of its si", CHOICES, truncated=True) == 1
    assert read_letter("The answer is B. It", CHOICES, truncated=True) == 1
    assert read_letter("I see.\n\nB Ba", CHOICES, truncated=True) is None
    assert read_letter("Well\n\nB", CHOICES, truncated=True) is None
    assert read_number("The answer is 12. So", truncated=True) == 12
    assert read_number("The answer is 12 \N{REPLACEMENT CHARACTER}") == 12  # not cut off
    assert read_letter("The answer is B", CHOICES, truncated=True) is None
    assert read_letter("The answer is (B)", CHOICES, truncated=True) == 1
    assert read_letter("B", CHOICES, truncated=True) == 1


def test_more_choices_allow_more_letters():
    assert read_letter("The answer is (J).", CHOICES * 2 + CHOICES[:2]) == 9
    assert read_letter("The answer is (J).", CHOICES) is None


def test_a_long_text_is_read_quickly_enough():
    assert read_letter("(" * 50_000 + "the answer is " * 20_000, CHOICES) is None
    assert read_letter("So, " * 20_000 + "* " * 20_000 + "A or " * 20_000, CHOICES) is None
    assert read_number("\\boxed{" * 20_000 + "1," * 20_000) is None
    assert read_number("The answer is " + "1+" * 50_000) is None


def test_long_runs_do_not_take_long():
    """Each of these would otherwise be tried in some million ways."""
    assert read_number("The answer is `" + " " * 390 + "x 5") is None
    assert read_number("The answer is " + " " * 300 + "7") == 7
    assert read_number("!" * 100_000 + "a") is None
