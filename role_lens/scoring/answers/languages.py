"""Words with which other languages than English state an answer.

    STATED.search("La respuesta correcta es B")

Each list has the words of all languages. What isn't listed is not read, so a language can be added
by adding its words; a word that two languages share and mean differently is left out.
"""

import re
from typing import Literal

Tongue = Literal["english", "comma", "point"]
"""In which language an answer is stated: in English, or in one that writes decimals with a comma or
with a point."""

# A word ends where no letter follows; \b would also break at the vowel signs of Indian scripts.
_END = r"(?!\w)"

ANSWER = (
    r"respuesta|r[ée]ponse|antwort|l[öo]sung|risposta|resposta|antwoord(?:et)?|svar(?:et)?"
    r"|odpowied[źz]"
    r"|odpověď|răspuns(?:ul)?|válasz|gabarito|vastaus|cevap|yanıt|jawaban(?:nya)?|đáp\s*án"
    r"|câu\s*trả\s*lời"
    r"|ответ|відповідь|απάντηση|(?:ال)?[إا]جابة|(?:ال)?جواب|پاسخ|ה?תשובה|उत्तर|जवाब|উত্তর|คำตอบ"
    r"|答案|答え|こたえ|回答|解答|正解|정답|답"
)
_OPTION = (
    r"opci[óo]n|option|opzione|opç[ãa]o|alternati(?:va|ve|f)|letra|lettre|lettera|proposition"
    r"|inciso"
    r"|buchstabe|optie|alternativet|opcja|możnost|opțiunea|vaihtoehto|seçenek|şık|opsi|pilihan"
    r"|phương\s*án|вариант|вариант\s+ответа|варіант|буква|επιλογή|الخيار|گزینه|אפשרות|विकल्प|বিকল্প"
    r"|ตัวเลือก|ข้อ|选项|選項|选择|選擇|選択肢|선택지|보기"
)
RIGHT = (
    r"correct[ao]|correcte|corrett[ao]|corret[ao]|bonne|bon|exact[ae]?|esatta|giusta|juste|cert[ao]"
    r"|richtige|korrekte|beste|juiste|rätta?|riktige?|rigtige?|prawidłow[ay]|poprawn[ay]|správná"
    r"|corectă?"
    r"|helyes|oikea|doğru|benar|yang\s+benar|đúng|chính\s*xác|правильны[йм]|верны[йм]|правильна"
    r"|вірна"
    r"|σωστή|الصحيحة?|صحیح|درست|הנכונה|सही|সঠিক|ที่ถูกต้อง|final[ae]?|mejor|meilleure|melhor|migliore"
    r"|endgültige|окончательный|cuối\s*cùng|akhir|正确的?|正確的?|最终|最終|最佳|正しい|最終的な"
    r"|올바른|최종|最も適切な|適切な"
)
_IS = (
    r"(?:es|ser[íi]a|debe\s+ser|est|serait|doit\s+être|ist|lautet|wäre|è|sarebbe|deve\s+essere|é"
    r"|deve"
    r"\s+ser|is|är|er|to|jest|je|este|on|adalah|ialah|là|это|є|це|είναι|هي|هو|היא|है|হল|হলো)"
    rf"{_END}(?:\s+(?:entonces|donc|also|daher|somit|portanto|quindi|dus){_END})?"
    r"|คือ|(?:应该|應該|应当|应|應|就)?(?:是|为|為|选|選)|は|은|는|이|】"
)
_THUS = (
    r"por\s+lo\s+tanto|por\s+tanto|entonces|as[íi](?:\s+que)?|luego|en\s+conclusi[óo]n|donc|ainsi"
    r"|alors"
    r"|par\s+conséquent|also|daher|somit|folglich|deshalb|portanto|logo|então|assim|quindi|dunque"
    r"|perciò|pertanto|dus|daarom|därför|derfor|alltså|więc|zatem|dlatego|tedy|proto|deci"
    r"|prin\s+urmare"
    r"|tehát|joten|siis|bu\s+nedenle|yani|jadi|vậy|do\s+đó|vì\s+vậy|итак|значит|таким\s+образом"
    r"|следовательно|поэтому|отже|άρα|επομένως|لذلك|إذن|بنابراین|לכן|इसलिए|अतः|তাই|ดังนั้น"
)
# What may stand before, in the same clause.
_LEADS = re.compile(
    rf"(?:[\W_]*(?:(?:l[ae]?|el|il|lo|a|o|die|der|das|het|de|den|det|η|mi|mon|ma|mia|minha|meine?"
    rf"|мой|y|et|und|e|и|pero|mais|aber|mas|но|{_THUS}|{RIGHT}|{_OPTION}|{ANSWER}){_END}"
    r"|因此|所以|故|综上所述|综上|那么|于是|但是?|本题|这道题|该题|此题|这题|题目|的|最后|我的"
    r"|我认为|我|应该|应"
    r"|したがって|よって|だから|そのため|つまり|ゆえに|問題の|私の|따라서|그러므로|그래서"
    r"|결론적으로|문제의|이))*[\W_]*",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"(?<!\w)(?:si|se|wenn|falls|ob|indien|jeśli|dacă|jos|eğer|jika|kalau|nếu|если|якщо|αν|إذا|لو"
    r"|اگر"
    rf"|यदि|अगर|אם|tal\s+vez|quizás?|peut-être|vielleicht|forse|talvez|misschien|возможно){_END}"
    r"|如果|假设|假如|是否|可能|也许|或许|もし|かもしれ|만약|만일|아마",
    re.IGNORECASE,
)
BECAUSE = (
    r"porque|pues|ya\s+que|puesto\s+que|dado\s+que|car|parce\s+que|puisque|weil|da|denn|perché"
    r"|poiché"
    r"|pois|já\s+que|omdat|want|eftersom|fordi|ponieważ|protože|deoarece|mert|koska|çünkü|karena|vì"
    r"|потому\s+что|так\s+как|поскольку|тому\s+що|επειδή|لأن|زیرا|क्योंकि|כי|因为|因為|由于|เพราะ"
)
OR = (
    *(
        "o",
        "ou",
        "oder",
        "oppure",
        "y",
        "e",
        "et",
        "und",
        "of",
        "en",
        "eller",
        "lub",
        "nebo",
        "sau",
    ),
    *("vagy", "tai", "veya", "atau", "hoặc", "или", "и", "або", "ή", "أو", "یا", "או", "या"),
)
"""What stands between two answers, where a text may have been cut off."""
OPTION = rf"(?:(?:la|el|il|lo|le|a|o|die|der|das|de|det|η)\s+|l['’]\s*)?(?:(?:{_OPTION})\b[\s:]*)?"
"""What may stand between "is" and the letter."""
TAIL = re.compile(
    r"(?:\s*(?:选项|選項|项|項|番|です|である|だ|となります|になります|입니다|이다|번|예요|이에요|है"
    r"|হয়|است"
    r"|['’]?d[ıiuü]r))+(?!\w)"
)
"""What ends a sentence after the letter or the number."""
IS_RIGHT = (
    r"\s+(?:(?:es|est|ist|è|é|está|jest|je|este)\s+(?:(?:la|die|de|a|il|le)\s+)?"
    rf"(?:(?:(?:{RIGHT})\s+)?(?:{ANSWER}|{_OPTION})(?:\s+(?:{RIGHT}))?|{RIGHT}|richtig|korrekt)"
    rf"|(?:это|—|-)\s+(?:{RIGHT})\s+(?:{ANSWER}|{_OPTION})|is\s+(?:juist|het\s+juiste\s+antwoord)"
    r"|(?:选项|選項|项)?是?(?:正确|正確)(?:的|答案|选项|的答案|的选项)?|是(?:最佳)?答案"
    r"|が(?:正解|正しい|答え)(?:です|である|となります|だ)?"
    rf"|[가이은는]\s*(?:정답|답)(?:입니다|이다)?|[가이은는]\s*(?:맞습니다|옳습니다)){_END}"
)
"""What says of a letter before it that it is the answer."""
TAKEN_BACK = (
    r"(?:(?:espera|esperen|perd[óo]n|correcci[óo]n|attende[zs]|attends|pardon|warte|korrektur"
    r"|espere"
    r"|desculpe|correção|aspetta|scusa|correzione|wacht|подождите|погодите|стоп|исправление"
    r")|(?:(?<=[.!?,] )|(?<=\n))(?:等等|等一下|不对|更正|抱歉|待って|訂正|잠깐만?|정정))\s*[,.!:]"
)
NEXT_QUESTION = (
    r"pregunta|frage|domanda|pergunta|vraag|fråga|pytanie|soru|pertanyaan|câu\s*hỏi|вопрос|питання"
    r"|السؤال|سؤال|प्रश्न|问题|問題|题目|題目|質問|질문|문제"
)
TIMES = (
    r"(?:mil|mille|millones|millón|milh(?:ão|ões)|milioni|tausend|million(?:en)?|milliard(?:s|en)?"
    r"|mio"
    r"|mrd|dutzend|docenas?|douzaines?|duizend|miljoen|тысяч\w*|тыс|миллион\w*|млн|млрд|हज़ार|हजार"
    r"|लाख"
    rf"|करोड़|ألف|مليون|هزار|bin|ribu|juta|nghìn|triệu){_END}|[十百千万萬億亿만억천백]|[个個]?半"
)
"""What makes a number another one."""
_NOUN = (
    rf"(?<![^\W\u3040-\u9fff\uac00-\ud7af])(?:(?:(?:{RIGHT})\s*)?(?:{ANSWER})(?:\s*(?:{RIGHT}))?"
    rf"|(?:{RIGHT})\s*(?:{_OPTION})|(?:{_OPTION})\s*(?:{RIGHT}))"
)
STATED = re.compile(
    rf"{_NOUN}[\s*_]*(?:(?:{_IS})[\s*_]*[:=,]?|[:=\n]|—|\s[-–](?=\s*[*_(]*[A-Z]\b))"
    # The verb before the noun, and the verb at the end.
    rf"|\b(?:ist|lautet)\s+(?:die|meine)\s+(?:(?:{RIGHT})\s+)?(?:antwort|lösung):?"
    r"|\brichtig\s+ist\b(?:\s+(?:die\s+)?antwort\b)?"
    rf"|{_NOUN}(?=\s+(?:(?:{_OPTION})\s+)?\(?\w{{1,9}}\)?\s*(?:है|است|['’]?d[ıiuü]r)(?!\w))"
    r"|(?:(?:选择|選擇)|[选選]:?)(?=\s*[(\[「\"“]*\s*[A-Z]\b)",
    re.IGNORECASE,
)


def is_sure(sentence: str) -> bool:
    """Whether what stands before in a sentence leaves no doubt that an answer follows."""
    clause = re.split(r"[,:]", sentence)[-1]
    return bool(_LEADS.fullmatch(clause)) and not _UNSURE.search(sentence)


def tongue(stated: str) -> Tongue:
    """How a language, of which these are some words, writes decimals."""
    return (
        "comma"
        if re.search(r"[a-z\u00e0-\u024f\u0370-\u04ff\u1e00-\u1eff]", stated, re.IGNORECASE)
        else "point"
    )
