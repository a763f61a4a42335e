"""Other forms in which models state an answer, and texts that look like them and state none."""

from fractions import Fraction

import pytest

from role_lens.scoring import read_letter, read_number

CHOICES = ["Bonn", "Paris", "Rome", "Oslo"]

# Each of these says B.
RECORDS = (
    '{"answer": "B"}',
    '```json\n{"answer": "B"}\n```',
    '```\n{"answer": "B"}\n```',
    '{"answer": "B", "confidence": 0.9, "reasoning": "Not A or C. The answer is not D."}',
    '{"reasoning": "The answer is C at first sight.", "answer": "B"}',
    '{\n  "answer": "B",\n  "reasoning": "It isn\'t (A)."\n}\nLet me know if you need more.',
    '{"final_answer": "B"}',
    '{"Final Answer": "B"}',
    '{"finalAnswer": "(B)"}',
    '{"correct_answer": "B"}',
    '{"choice": "B"}',
    '{"selected_option": "B"}',
    '{"letter": "B"}',
    '{"respuesta": "B"}',
    '{"答案"："B"}',
    '{"answer": "b"}',
    '{"answer": "B. Paris"}',
    '{"answer": "The answer is B"}',
    '{"answer": ["B"]}',
    '{"answer": {"letter": "B", "text": "Paris"}}',
    '{"answer": "B", "Answer": "B"}',
    '{"answer": null, "final_answer": "B"}',
    '{"results": [{"answer": "B", "reasoning": "The answer is not C."}]}',
    '{"data": {"answer": "B"}}',
    '{"name": "submit", "arguments": {"answer": "B"}}',
    '{"answer": "Paris", "letter": "B"}',
    '{"answer": "B", "is_correct": true}',
    '{"answer": "B",}',
    "{'answer': 'B', 'sure': True}",
    '{answer: "B"}',
    "{'answer': 'B', **more}",
    "{“answer”: “B”}",
    '{"answer": "B", "reasoning": "because the answer is A whe',
    'Answer as {"answer": "X"}.\n\nB',
    'The answer is A.\n{"answer": "B"}',
    '{"answer": "A"}\nNo: the answer is B.',
    "<answer>The answer is B</answer>",
    "<answer>\n(b)\n</answer>",
    "<answer>\\boxed{B}</answer>",
    '<answer>{"answer": "B"}</answer>',
    "<final_answer>B</final_answer>",
    "final_answer: B",
)
LAYOUTS = (
    *("**Answer:** B", "__Answer:__ B", "> Answer: B", "### Answer: B", "ANSWER: B", "answer = B"),
    *("Answer - B", "Answer – B", "Answer — B", "Answer → B", "Answer => B", "Answer : B"),
    *("Final choice: B", "Selected option: B", "Correct: B", "Option B: Paris", "Option B - Paris"),
    "The answer, therefore, is B.",
    "The answer is... B.",
    "Answer: B | Confidence: 90%",
    "Answer: B\nReason: A is wrong, because it is not.",
    "Put it in \\boxed{}.\n\nB",
    *(
        "\\boxed{\\textbf{(B)}}",
        "\\boxed{\\text{B) Paris}}",
        "\\fbox{B}",
        "\\boxed{B} and \\boxed{B}",
    ),
    *("The answer is <b>B</b>", "The answer is B</s>", "The answer is B<|im_end|>", "[[B]]"),
)
SMALL = (
    *("the answer is b", "the answer is b.", "answer: b", "the answer is **b**", "i choose b"),
    *("b", "b.", "b)", "(b)", "b. Paris", "(b) Paris", "(b) is correct.", "option b is correct"),
    "the correct answer is b, because it rises",
    "The answer is b) Paris",
    "The answer is b\n\nIt rises.",
)
OTHER_LANGUAGES = (
    *("答案：B", "答案是B", "答案是B。", "正确答案为（B）", "选B", "故选：B。", "因此，答案选B。"),
    *("【答案】B", "本题答案为B", "正确选项是B", "B选项正确。", "B是正确答案。", "我认为答案是B。"),
    *(
        "答案是B，因为A和C是错误的。",
        "答案：B\n解析：A选项说的是别的。",
        "正确答案：B。因为A不对。",
    ),
    *("答えはB", "答えは「B」です。", "正解：B", "したがって、答えはBである。", "Bが正解です。"),
    *("정답: B", "정답은 B", "정답은 (B)입니다.", "따라서 정답은 B번입니다.", "B가 정답입니다."),
    *("La respuesta correcta es B", "La respuesta es (B)", "Respuesta final: B"),
    *("Por lo tanto, la respuesta correcta es la opción B.", "La opción B es correcta."),
    *(
        "La réponse est B",
        "La bonne réponse est donc la B.",
        "Réponse : B",
        "B est la bonne réponse.",
    ),
    *("La réponse est B car A est faux.", "Die Antwort ist B, weil A falsch ist."),
    *("Die Antwort ist B", "Antwort: B", "Daher ist die richtige Antwort B.", "B ist richtig."),
    *("A resposta é B", "A resposta correta é a letra B.", "La risposta è B", "Risposta esatta: B"),
    *("Ответ: B", "Ответ — B", "Таким образом, правильный ответ: вариант B.", "B — верный ответ."),
    *("الإجابة: B", "الإجابة الصحيحة هي B", "پاسخ: B", "התשובה היא B", "सही उत्तर B है।", "उत्तर: B"),
    *("Het juiste antwoord is B", "Svaret är B.", "Prawidłowa odpowiedź to B.", "Odpověď: B"),
    *(
        "Răspunsul corect este B.",
        "A helyes válasz: B",
        "Oikea vastaus on B.",
        "Doğru cevap B'dir.",
    ),
    *("Jawaban yang benar adalah B.", "Đáp án đúng là B.", "Відповідь: B", "Η απάντηση είναι η B."),
    *("คำตอบคือ B", "উত্তর: B", "La respuesta es:\n\n**B. Paris**"),
    *("Ｂ", "（Ｂ）Paris", "The answer is Ｂ．", "The answer is 𝐁.", "Απάντηση: Β"),
)
MARKS = (
    *("The answer is B…", "B…", "B!", "The answer is B!!", "B —", "The answer is B — Paris"),
    *("Answer: B✓", "Answer: B ✅", "✅ B", "B 👍🏽", "➡️ B", "A ❌\nC ❌\nB ✅", "“B”"),
)
CONCLUSIONS = (
    *(
        "B is the most likely answer.",
        "B is the best choice",
        "B must be the answer.",
        "Only B is left.",
    ),
    *("So B.", "A, C and D are wrong. So B.", "It rises.\nTherefore, (B).", "Hence (B)", "∴ B"),
    *(
        "Therefore, option B is correct",
        "Option B is correct because prices rise.",
        "By elimination, B.",
    ),
    *(
        "I'd go with B",
        "I’ll go with option B.",
        "I'd say B.",
        "I'm going with B.",
        "I think it's B.",
    ),
    *(
        "My final answer is B",
        "It must be B",
        "It is B. Paris.",
        "This leaves B",
        "That leaves (B).",
    ),
    *("the correct one is B", "The only option left is B.", "The answer seems to be B."),
    *("B is correct, A is wrong.", "B\n\nA is small. So B."),
)

# None of these says which option is right.
NOT_STATED = (
    # Small letters that are words.
    *("the answer is a matter of taste", "The answer is a matter of…", "answer is a dog", "a dog"),
    *("the answer is a, but not always", "answer: i don't know", "the answer is b vitamins"),
    *("La respuesta es a menudo otra", "the answer is c. elegans", "the answer is b = 3"),
    # Two letters.
    *("the answer is b or c", "the answer is (a) or (b)", "The answer is A or Paris", "AB", "A B"),
    *("\\boxed{A} or \\boxed{B}", "\\boxed{A}\n\\boxed{B}", "So B or C.", "It must be B, C or D."),
    *("This leaves A or B", "B is correct and so is C.", "B is correct, but C is better."),
    *("The answer is B. Or C.", "Answer: B\nOr: C", "Answer:\nA: Bonn\nB: Paris", "a) Bonn\nb)"),
    *("The answer is A. So B.", "A\n\nSo B.", "A. Bonn\nB. Paris ✅"),
    # Denied, asked, supposed, or only weighed.
    *(
        "B is most likely not the answer.",
        "B is not the best choice.",
        "B is hardly the best choice.",
    ),
    *(
        "B is almost correct.",
        "B is the second best choice.",
        "B is correct, if x > 0.",
        "So not B.",
    ),
    *(
        "Perhaps B.",
        "So maybe B.",
        "B might be correct.",
        "Is it B? It may be.",
        "B?",
        "Therefore, B?",
    ),
    *("It can't be B", "Hence A is false.", "Therefore, B rises.", "I wouldn't go with B."),
    *("An answer is B.", "The wrong one is B", "The answer – B – is wrong.", "The answer is B 🤔"),
    *("Answer: ❌ B", "B ❌", "☐ B", "~~B~~", "≠ B", "× B", "<answer>not B</answer>"),
    # Names and grades.
    *("A+", "B-", "C#", "C++", "The answer is C. elegans", "The answer is D. H. Lawrence."),
    *("Hence A. Smith says so.", "It is A dog.", "It is (B) vitamins", "B is exact.", "b. Rome"),
    # Records.
    *('{"answer": "A or B"}', '{"answer": ["A", "B"]}', '{"answer": "A", "final_answer": "B"}'),
    *('{"answer": "B", "correct": false}', '{"option": "B", "verdict": "wrong"}', '{"answer": 1}'),
    *('{"wrong_answer": "B"}', '{"student_answer": "B"}', '{"question": "B"}', '{"answer": null}'),
    *('{"answer": {"A": false}}', '{"answer": "A dog"}', '{"answer": "not B"}', '{"B": 0.8}'),
    *(
        '[{"answer": "A"}, {"answer": "B"}]',
        '{"option": "A"}\n{"option": "B"}',
        '{"answer": "Paris"}',
    ),
    '{"answer": "A"}\nWait, it is B.',
    '{"Answer": "A", "answer": "B"}',
    '{"answer": "A", "answer": "B"}',
    "{'answer': 'A', 'answer': 'B'}",
    '{"final answer": "A", "final_answer": "B"}',
    '{"answer": {"letter": "A", "Letter": "B"}}',
    '{"data": {"answer": "A"}, "data": {"answer": "B"}}',
    '{"results": [{"answer": "A"}, {"answer": "B"}]}',
    '{"answer": "B. Paris or C. Rome"}',
    '{"answer": "A; B"}',
    '{"answer": null, "reasoning": "The answer is B."}',
    "{'answer': None, 'reasoning': 'The answer is B.'}",
    '{"data": {"answer": null}, "reasoning": "The answer is B."}',
    '{"results": [{"option": "B", "correct": false}]}',
    # In other languages.
    *(
        "答案不是B",
        "答案是B吗？",
        "错误答案：B",
        "不正确的答案是B",
        "答案是A、B",
        "答案是A或B",
        "答案是A型血",
    ),
    *("如果x>0，答案是B", "答案可能是B", "不选B", "选项：A. 巴黎", "B不正确。", "A和B是正确的。"),
    *("答案是A。不对，应该是B。", "答えはBではない", "答えはBですか？", "答えはAかBです"),
    *("정답은 B가 아닙니다", "정답은 A 또는 B입니다", "오답: B", "B는 정답이 아닙니다."),
    *("La respuesta no es B", "La respuesta incorrecta es B", "La respuesta es A o B"),
    *("¿La respuesta es B?", "Si x > 0, la respuesta es B", "La respuesta es A. Espera, es C."),
    *("La réponse n'est pas B", "Mauvaise réponse : B", "La réponse est A ou B"),
    *("Die Antwort ist nicht B", "Falsche Antwort: B", "Wenn x > 0, ist die Antwort B."),
    *("Antwort: (B) ist falsch", "Vielleicht ist die Antwort B.", "B ist nicht richtig."),
    *("A resposta não é B", "La risposta sbagliata è B", "Неправильный ответ: B", "Ответ: A или B"),
    *("Ответ: В", "Ответ: Б", "الإجابة ليست B", "الإجابة: ب", "उत्तर B नहीं है"),
)

HALF = Fraction(1, 2)
NUMBERS = {
    18: (
        *(
            "18.",
            "Add them.\n\n18.",
            "１８",
            "18%",
            "$18",
            "18 €",
            "18 dollars",
            "The answer is 18€.",
        ),
        *('{"answer": 18}', '{"answer": "18"}', "{'answer': 18.0}", '{"answer": "x = 18"}'),
        *('{"answer": 18, "unit": "dollars"}', '{"answer": {"value": 18, "unit": "km"}}'),
        '```json\n{"steps": ["9*2 = 18", "18 - 2 = 16"], "answer": 18, "confidence": 1}\n```',
        *(
            "<answer>18</answer>",
            "<answer>The answer is 18</answer>",
            "Answer — 18",
            "Answer => 18",
        ),
        "The answer is 9 * 2 = <<9*2=18>>18.",
        "She makes 9 * 2 = $<<9*2=18>>18.\n#### 18",
        *("The answer is 18 (since 9 * 2 = 18).", "The answer is 18, not 20.", "So 18."),
        "The answer is 18, so she earns 18 dollars.",
        *("The answer is 18 m²", "\\boxed{18 \\text{ cm}^2}", "The answer is 18 m/s^2.", "18 ✓"),
        *("答案：18", "答案是18元。", "答えは18です。", "La respuesta es 18.", "Ответ: 18"),
        *("The answer is १८", "الإجابة: ١٨", "उत्तर: १८", "คำตอบคือ ๑๘", "The answer is 1.8e1"),
    ),
    1000: (
        *("1,000", "1 000", "1_000", "1’000", "The answer is 1'000.", "The answer is 1\u2009000."),
        *("The answer is 1\u202f000.", "The answer is 1\xa0000 €", "#### 1 000", "#### 1,000"),
        *(
            "The answer is １，０００。",
            "The answer is ١٬٠٠٠",
            "答案是1,000",
            '{"answer": "1,000"}',
        ),
        *("\\boxed{1\\,000}", "\\boxed{1{,}000}", "La réponse est 1 000", "Ответ: 1 000"),
        *("The answer is 1 × 10^3", "The answer is 1 x 10³.", "\\boxed{1\\times10^{3}}", "1e3"),
        *("\\boxed{1 \\cdot 10^3}", "The answer is 1*10**3", '{"answer": 1e3}'),
    ),
    # One point is decimal in English; the later of two marks is.
    1: ("The answer is 1.000", "1.000"),
    Fraction(2001, 2): (
        "The answer is 1.000,50",
        "The answer is 1,000.50",
        "La respuesta es 1.000,5",
    ),
    10**6: ("The answer is 1.000.000", "The answer is 10,00,000", "1'000'000", "1 000 000"),
    Fraction(1, 8): ("La respuesta es 0,125", "Die Antwort ist 0.125", "The answer is 0.125"),
    Fraction(6, 5000): ("\\boxed{1.2\\times 10^{-3}}", "The answer is 1.2×10⁻³", "#### 1.2e-3"),
    Fraction(7, 2): (
        *("\\boxed{3\\frac{1}{2}}", "3 1/2", "The answer is 3½ cups", "\\boxed{\\dfrac{7}{2}}"),
        *("La respuesta es 3,5", "الإجابة هي ٣٫٥"),
    ),
    -Fraction(7, 2): ("The answer is -3 1/2", "\\boxed{-3\\frac{1}{2}}", "The answer is −3½"),
    HALF: ("½", "The answer is ½.", "1⁄2", '{"answer": "\\\\frac{1}{2}"}'),
    -5: (
        "−5",
        "The answer is \u22125",
        "The answer is $-5",
        "The answer is minus 5",
        "答案是−5",
        "#### −5",
    ),
}
NOT_NUMBERS = (
    # Two numbers, or one that may be two.
    *("5 6", "5-6", "The answer is 5,5", "The answer is 0,500", "\\boxed{x=5, y=6}", "So 5 or 6."),
    *("\\boxed{5}, \\boxed{6}", "The answer is 1 0000", "The answer is 1,000 000", "\\boxed{1, 2}"),
    *("The answer is 2 500 ml bottles", "La respuesta es 1.000", "La réponse est 1,000"),
    *("The answer is 3 4/3", "The answer is 1 000 1/2", "The answer is 5. So 6."),
    # Another number than its digits.
    *(
        "The answer is 5 x",
        "The answer is 5 * x",
        "The answer is 5²",
        "\\boxed{5!}",
        "The answer is 5 K",
    ),
    *("The answer is 3 halves", "3 dozen", "The answer is 5 hours and a half", "The answer is 18-"),
    *(
        "答案是5万",
        "答案是3个半",
        "정답은 5만 원입니다",
        "La respuesta es 5 millones",
        "उत्तर: 5 लाख",
    ),
    *("Die Antwort ist 5 Millionen", "Ответ: 5 тысяч", '{"answer": 5, "unit": "million"}'),
    # Compared, or only a bound.
    *("The answer is x > 5", "The answer is x >= 5", "The answer is x != 5", "The answer is ±5"),
    *("\\boxed{x \\ge 5}", "The answer is at least 5"),
    # Words, signs and items of lists.
    *("The answer is eighteen.", "doce", "The answer is ①", "The answer is 5…", "5+", "5x", "- 5"),
    *("1.", "1. Add\n17. Sum\n18.", "Steps:\n- 5", "Answer - 5", "So 9 * 2 = 18", "This leaves 5."),
    # Records.
    *('{"answer": [5, 6]}', '{"answer": 5, "final_answer": 6}', '{"answer": true}', '{"value": 5}'),
    *('{"answer": 5, "answer": 6}', '{"answer": null, "why": "The answer is 5."}'),
    *('{"answer": 5, "correct": false}', '{"answer": "5 or 6"}'),
    # In other languages.
    *("答案不是5", "答案是5或6", "La respuesta no es 5", "Die Antwort ist 5 oder 6"),
)


@pytest.mark.parametrize(
    "text", [*RECORDS, *LAYOUTS, *SMALL, *OTHER_LANGUAGES, *MARKS, *CONCLUSIONS]
)
def test_a_letter_is_read_in_every_form_that_states_it(text):
    assert read_letter(text, CHOICES) == 1


@pytest.mark.parametrize("text", NOT_STATED)
def test_a_letter_is_never_guessed(text):
    assert read_letter(text, CHOICES) is None


@pytest.mark.parametrize(
    ("text", "number"), [(text, number) for number, texts in NUMBERS.items() for text in texts]
)
def test_a_number_is_read_in_every_form_that_states_it(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_a_number_is_never_guessed(text):
    assert read_number(text) is None


def test_look_alikes_are_read_where_they_stand_for_the_same_option():
    for text, letter in (("Ответ: А", "A"), ("Ответ: С", "C"), ("Ответ: В", None)):
        found = read_letter(text, CHOICES)
        assert (None if found is None else "ABCD"[found]) == letter


def test_a_small_letter_that_another_option_says_is_not_read():
    assert read_letter("the answer is b", ["c", "d"]) == 1
    assert read_letter("the answer is b", ["b", "d"]) is None


def test_other_forms_that_were_cut_off_are_no_answers():
    for text in ("答案是 B", "La respuesta es (A) o", "So B", '{"answer": 1', '{"answer": "B or'):
        assert read_letter(text, CHOICES, truncated=True) is None
        assert read_number(text, truncated=True) is None
    assert read_letter('{"answer": "B", "why": "because it', CHOICES, truncated=True) == 1


LOOPS = (
    '{"a":',
    "{'a': ",
    "{",
    "<answer>",
    "\\boxed{",
    "选B",
    "∴",
    "1 000 ",
    "½",
    "So B. ",
    "\n🏿",
)


@pytest.mark.parametrize("loop", LOOPS)
def test_only_the_end_of_a_loop_is_read(loop):
    """So a long text takes no longer than one of 4,000 characters."""
    text = loop * (100_000 // len(loop))
    assert read_letter(text, CHOICES) == read_letter(text[-4_000:], CHOICES)
    assert read_number(text) == read_number(text[-4_000:])
