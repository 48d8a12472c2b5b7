"""The little English (with a few accents) on which the tiny tokenizers are trained, and the texts they are tested with."""

import random

SUBJECTS = ["The river", "A small dog", "Our teacher", "The new bridge", "My sister", "An old sailor", "The city council",
            "Every student", "The painter", "A quiet village", "The company", "Dr. Müller", "The café owner", "Somebody"]
VERBS = ["crosses", "opened", "has never seen", "will build", "remembers", "is looking for", "sold", "questioned",
         "wrote about", "could not find", "translated", "paid for", "answered", "protected"]
OBJECTS = ["the garden", "three letters", "a red house", "the answer", "their history", "an article", "the first train",
           "a piece of music", "the mountain road", "twelve dollars", "the question", "a naïve idea", "the summer of 1998"]
ENDINGS = ["in the morning.", "before the war.", "with great care.", "after 25 years!", "near the station.", "for no reason.",
           "and then left.", "because it was true.", "although it was false.", "in Paris, France.", "at 7:30?", "again."]


SYLLABLES = ["ba", "ken", "to", "ril", "mos", "fi", "gra", "vel", "du", "shon", "pe", "lar", "quin", "ost", "wy", "zed"]


def sentences(count=3000, seed=11):
    draw = random.Random(seed)
    for _ in range(count):
        name = "".join(draw.choice(SYLLABLES) for _ in range(draw.randint(1, 3))).capitalize()
        yield " ".join([*(draw.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, ENDINGS)), name, str(draw.randint(1, 2000))])


# Token tests: ordinary, empty, spaces, line breaks, accents, full-width forms, unknown scripts, sentinels, digits, code.
TOKEN_TEXTS = [
    "The river crosses the garden in the morning.",
    "",
    " ",
    "  Two  spaces before, three   inside and one after ",
    "Line one\nline two\r\n\tand a tab.",
    "Dr. Müller's café: naïve, déjà vu, Ærøskøbing.",
    "Ｆｕｌｌ width, ﬁne ligature, ½ and ™.",
    "你好, мир! 🙂 emoji 👩‍👩‍👧",
    "Q: is it true? A: <extra_id_0> yes <extra_id_1>",
    "In 1998 he paid $12.50 for 3,000 letters (50%).",
    "don't DON'T we'll I'VE it's",
    "for (let i = 0; i < 10; i++) { x[i] += 2; }",
    " True",
    "</s> is text here, and <pad> too",
]

# The batch: three inputs of different lengths and their targets. Decoder-only targets begin with the joining space.
BATCH = [
    ("The new bridge crosses the river near the station. question: somebody sold a red house. true or false?", "False"),
    ("My sister wrote about Paris.", "an article about the city"),
    ("Every student answered the question with great care, and then left for no reason again.", "True, although it was false."),
]

# Inputs to generate from.
GENERATION_INPUTS = [
    "The painter remembers the summer of 1998.",
    "Translate: my dog is looking for the first train in the morning",
    "question",
    "An old sailor could not find the mountain road before the war. Who opened the café?",
    "Dr. Müller sold twelve dollars",
    "The city council will build a piece of music because it was true",
]
