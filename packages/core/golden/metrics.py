"""Writes metrics.json: scores of the reference packages on generated strings, real-looking and nasty.

    pip install sacrebleu==2.6.0 rouge-score==0.1.2 nltk && python packages/core/golden/metrics.py

Exact match, F1 and first-word accuracy have no package that is light enough to install: T5's and TriviaQA's normalisations,
SQuAD's F1 and the first-word rule are written out below with Python's own string functions.
"""

import json
import random
import re
import string
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import nltk
import sacrebleu
from importlib.metadata import version
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

GROUP = 4  # BLEU is a corpus score: it is computed for each four strings in a row, and for all
random.seed(20261124)

WORDS = """the a an The of to in and is was The UK's president said on Monday 3 1,000 2.5% $3.50 £20 1990s well-known
U.S. e.g. running runner ran flies dying relational conditional rationally hopefulness happily generously adjustable
"quoted" 'single' (brackets) [square] {curly} Mr. O'Neil co-operate it's don't they've déjà vu Straße ÇA Ísland naïve
Zürich Москва Россия Ελλάδα ΟΔΟΣ 東京 日本語 中文 हिन्दी العربية עברית 한국어 👍 🇬🇧 👩‍👩‍👧 … – — “left” ‘curly’ ´acute` under_score
&amp; &quot; &lt;b&gt; <skipped> 10-20 3.14 .5 5. a.b,c 1,2,3 ½ ² ① Ⅷ ٣ x² ©2020 → ∑ + = ~ ^ | \\ / @user #tag http://a.b/c?d=e&f
True False Neither true false A B C D Q: Translate Article: yes no dogs cats sitting sat on mats quickly brown foxes
jumped over lazier authorities organization organisations possibly agreed feed plastered motoring""".split()
NASTY = ["", " ", "\t", "\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\u001c", "\ufeff", "\u200b", ".", ",", "-", "--", "...",
    "1.", ".1", "1.2", "1-2", "a-b", "-\n", "x-\ny", "&amp;amp;", "&", "the", "The the THE", "a an the", "_", "__a__", "a_an",
    "theé", "éthe", "e\u0301the", "the\u0301", "ǅ", "İstanbul", "ΣΑΣ", "ß", "ﬁ", "Ａ", "𝐁𝐨𝐥𝐝 text", "😀😀", "😀.", ".😀", "😀,1", "1,😀",
    "٣.٤", "½.½", "x" * 60, "a " * 30, "yyyy", "yyying", "sky", "skies", "ies", "ied", "ing", "eed", "s", "ss",
    "True.", '"True"', "True, because", "(True)", "- True", "true", "True!False", "“True”", "**True**", "True\n\nFalse", " True"]


def sentence() -> str:
    if random.random() < 0.12:
        return random.choice(NASTY)
    words = [random.choice(WORDS) for _ in range(random.choice((1, 1, 2, 3, 4, 5, 6, 8, 11)))]
    text = random.choice((" ", " ", " ", "  ", "\n", "\u00a0", "", "-", "\t", " . ", ", ")).join(words)
    return text + random.choice(("", "", ".", " .", "!", "\n", " ", "\u00a0"))


def disturbed(text: str) -> str:
    """The same text with a few words dropped, swapped, doubled, or in other case or punctuation."""
    words = text.split(" ")
    for _ in range(random.choice((0, 1, 1, 2))):
        place = random.randrange(len(words))
        change = random.randrange(6)
        if change == 0:
            words[place : place + 1] = []
        elif change == 1:
            words[place] = random.choice(WORDS)
        elif change == 2:
            words.insert(place, words[place])
        elif change == 3:
            words[place] = words[place].swapcase()
        elif change == 4:
            words[place] = "the " + words[place] + "."
        else:
            random.shuffle(words)
        words = words or [""]
    return " ".join(words)


def normalize(text: str, punctuation: str, replacement: str) -> str:
    text = "".join(replacement if c in punctuation else c for c in text.lower())
    return " ".join(re.sub(r"\b(?:the|an|a)\b", " ", text).split())


def squad(text: str) -> str:
    return normalize(text, string.punctuation, "")


def trivia_qa(text: str) -> str:
    return normalize(text, string.punctuation + "‘’´`_", " ")


def first_word(text: str) -> str:
    word = (text.split() or [""])[0]
    marks = [unicodedata.category(c)[0] in "PS" for c in word]
    kept = [i for i, mark in enumerate(marks) if not mark]
    return word[kept[0] : kept[-1] + 1] if kept else ""


def f1(prediction: str, reference: str) -> float:
    """SQuAD v1.1's evaluate-v1.1.py, f1_score."""
    prediction_tokens, reference_tokens = squad(prediction).split(), squad(reference).split()
    same = sum((Counter(prediction_tokens) & Counter(reference_tokens)).values())
    if same == 0:
        return 0
    precision, recall = same / len(prediction_tokens), same / len(reference_tokens)
    return (2 * precision * recall) / (precision + recall)


def bits(flags) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def corpus(metric, predictions, references):
    count = max(map(len, references))
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(count)]
    score = metric.corpus_score(predictions, streams).score
    return score, str(metric.get_signature())


def corpus_scores(make, predictions, references):
    """Score and signature of all, and the scores of each GROUP in a row."""
    score, signature = corpus(make(), predictions, references)
    single = corpus(make(), predictions[:GROUP], [r[:1] for r in references[:GROUP]])[1]
    starts = range(0, len(predictions), GROUP)
    groups = [corpus(make(), predictions[g : g + GROUP], references[g : g + GROUP])[0] for g in starts]
    return {"all": score, "signatures": [signature, single], "groups": [round(score, 11) for score in groups]}


def mean_scores(scores):
    """Means of each GROUP in a row."""
    return [round(100 * sum(scores[g : g + GROUP]) / GROUP, 11) for g in range(0, len(scores), GROUP)]


predictions, references = [], []
for i in range(1600):
    reference = sentence()
    predictions.append(disturbed(reference) if random.random() < 0.7 else sentence())
    number = random.choice((1, 1, 1, 2, 3)) if i % 8 >= 4 else 1
    references.append([reference] + [disturbed(reference) if random.random() < 0.8 else sentence() for _ in range(number - 1)])

# Texts without spaces between words, and of several lines (the sentences of a summary).
CHINESE = "我们今天去公园，看见了三只猫。 他说：“2.5%的学生喜欢数学！” 東京は日本の首都です。 価格は1,000円（税込み）です… テスト・ケース カタカナ ｶﾅ １２３ ①⑳ ™ 𠀀𠮷 ⺀ ㈱ ㍻ 中文and English混排 한국어 문장".split()
texts, text_references = [], []
for _ in range(400):
    lines = ["".join(random.choices(CHINESE, k=random.choice((1, 2, 3)))) if random.random() < 0.4 else sentence() for _ in range(random.choice((1, 2, 3, 4)))]
    reference = random.choice(("\n", "\n", "\n\n", " \n ")).join(lines)
    random.shuffle(lines)
    text = "\n".join(disturbed(line) if random.random() < 0.5 else line for line in lines)
    texts.append("".join(c for c in text if random.random() < 0.95))
    text_references.append([reference] + ["\n".join(disturbed(line) for line in lines)] * random.choice((0, 0, 1)))

result = {
    "versions": {
        "python": sys.version.split()[0],
        "sacrebleu": sacrebleu.__version__,
        "rouge_score": version("rouge_score"),
        "nltk": nltk.__version__,
    },
    "group": GROUP,
    "predictions": predictions,
    "references": references,
    "accuracy": bits(first_word(p) in [r.strip() for r in rs] for p, rs in zip(predictions, references)),
    "exact-match": {
        name: bits(f(p) in map(f, rs) for p, rs in zip(predictions, references))
        for name, f in (("squad", squad), ("trivia-qa", trivia_qa))
    },
    "normalized": [[s, squad(s), trivia_qa(s)] for s in NASTY + WORDS],
    "f1": mean_scores([max(f1(p, r) for r in rs) for p, rs in zip(predictions, references)]),
    "bleu": {},
    "chrf": {},
    "rouge": {},
    "texts": {"predictions": texts, "references": text_references, "bleu": {}, "chrf": {}, "rouge": {}},
    "stems": [],
}
for part, sides in ((result, (predictions, references)), (result["texts"], (texts, text_references))):
    for tokenize in ("13a", "intl", "zh", "char", "none"):
        part["bleu"][tokenize] = corpus_scores(lambda: BLEU(tokenize=tokenize), *sides)
    for order in (0, 2):
        part["chrf"][str(order)] = corpus_scores(lambda: CHRF(word_order=order), *sides)
    for stemmer in (False, True):
        kinds = ("rouge1", "rouge2", "rougeL", "rougeLsum")
        scorer = RougeScorer(kinds, use_stemmer=stemmer)
        scores = [scorer.score_multi(rs, p) for p, rs in zip(*sides)]
        for kind in kinds:
            name = f"rouge-{kind[5:]}{' stemmer' if stemmer else ''}"
            part["rouge"][name] = mean_scores([s[kind].fmeasure for s in scores])

ENDINGS = """ s es ed ing ings ly er ers or ation ational ations ness fulness ousness iveness ful fully al ally alism aliti ality
ive iviti ivity ize izer ization ise able ably ible ibly abli bility biliti ance ence anci ency enci ant ent ently entli ement
ment ment ious ous ously ousli ic ical icate iciti icity ism ist iti ion sion tion y ies ied ate ator e ee eed logi logy eli ely
alli izing ated bled ll lle""".split(" ")
STEMS = "hop hopp fall hiss fizz fail fil rat rel cond val hesit digit conform radic vil anal vietnam pred oper sens form gyr adopt control rol ceas prob contr archae phil ge the enjo hap tr sk fl sp di ti l b y yy oy a1 syzyg tro 19 controll".split()
stemmer = PorterStemmer()
words = random.sample([stem + ending.strip() for stem in STEMS for ending in ENDINGS], 1500)
words += [w for w in re.findall("[a-z0-9]+", " ".join(WORDS + NASTY).lower())]
words += "innings inning outings cannings howe proceed exceed succeed news sky skies dying lying tying".split()
result["stems"] = [[w, stemmer.stem(w)] for w in dict.fromkeys(words)]

Path(__file__).with_name("metrics.json").write_text(
    json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
)
