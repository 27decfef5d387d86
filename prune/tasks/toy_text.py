"""The embedded data set: short stories of a purchase in plain English, each with one question.

A story names people, places, dates and amounts, some of them twice: a buyer and a seller, the town
of the shop and the town the goods came from. So an answer needs both the kind of word asked for
and its part in the story. The people of the eval split never appear in the train split, though
their first and last names do. The content has the structure of a SQuAD file, and the same split
and seed give the same text.
"""

import itertools
import random
import re
from typing import Any

COUNTS = {"train": 4000, "eval": 400}  # stories, with one question each
PEOPLE = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Elena",
    "Felix",
    "Greta",
    "Hugo",
    "Irene",
    "Jonas",
    "Karin",
    "Leon",
    "Maria",
    "Nils",
    "Olga",
    "Peter",
    "Quinn",
    "Rosa",
    "Simon",
    "Tessa",
    "Ursula",
    "Victor",
    "Wendy",
    "Xenia",
    "Yusuf",
    "Zora",
    "Adam",
    "Bella",
    "Carl",
    "Dora",
    "Emil",
    "Fay",
    "Gus",
    "Hana",
    "Ivan",
    "Jana",
    "Kurt",
    "Lena",
    "Max",
    "Nora",
    "Otto",
    "Paula",
    "Ralf",
    "Sara",
    "Tom",
    "Uwe",
    "Vera",
    "Willy",
]
TOWNS = [
    "Athens",
    "Berlin",
    "Cairo",
    "Dublin",
    "Essen",
    "Florence",
    "Geneva",
    "Hanoi",
    "Istanbul",
    "Jakarta",
    "Kyoto",
    "Lisbon",
    "Madrid",
    "Naples",
    "Oslo",
    "Prague",
    "Quito",
    "Riga",
    "Seville",
    "Turin",
    "Utrecht",
    "Vienna",
    "Warsaw",
    "York",
    "Zagreb",
]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
GOODS = [
    "apples",
    "baskets",
    "candles",
    "drums",
    "eggs",
    "flags",
    "guitars",
    "hats",
    "jars",
    "kites",
    "lamps",
    "mirrors",
    "nails",
    "onions",
    "pens",
    "quilts",
    "ropes",
    "shirts",
    "tables",
    "umbrellas",
    "vases",
    "watches",
    "chairs",
    "books",
    "coins",
    "maps",
]
PURCHASE = (
    "The buyer {buyer} got {amount} {goods} in {shop} on {day}.",
    "On {day} the buyer {buyer} got {amount} {goods} in {shop}.",
    "In {shop} the buyer {buyer} got {amount} {goods} on {day}.",
)
DETAILS = (
    ("The seller {seller} asked for {price} euros.", "The price was {price} euros."),
    ("They came from {origin}.", "The {goods} were from {origin}."),
    ("They were needed before {deadline}.", "It had to be before {deadline}."),
    ("The driver {driver} took them to {goal}.", "They went to {goal} with {driver}."),
)
FILLERS = (
    "The weather was fine.",
    "It was a long day.",
    "Nobody was in a hurry.",
    "The street was quiet.",
    "There was music all night.",
    "A dog slept by the door.",
)
QUESTIONS = {  # part in the story -> ways to ask for it
    "buyer": ("Who got the {goods}?", "Who was the buyer?"),
    "seller": ("Who sold the {goods}?", "Who was the seller?"),
    "driver": ("Who took the {goods} away?", "Who was the driver?"),
    "shop": ("Where did {buyer} get the {goods}?", "In which town was {buyer}?"),
    "origin": ("Where did the {goods} come from?", "From which town were the {goods}?"),
    "goal": ("Where did the {goods} go?", "To which town did they take the {goods}?"),
    "day": ("When did {buyer} get the {goods}?", "On which day was {buyer} there?"),
    "deadline": ("When were the {goods} needed?", "Before which day was all this?"),
    "amount": ("How many {goods} did {buyer} get?", "How many {goods} were there?"),
    "price": ("How much did the {goods} cost?", "How many euros were paid?"),
}


def generate(split: str, seed: int) -> dict[str, Any]:
    """The `train` or `eval` split as the content of a SQuAD file: data[].paragraphs[].qas[]."""
    draw = random.Random(f"{split} {seed}")
    stories = [_story(draw, f"toy-{split}-{seed}-{i}") for i in range(COUNTS[split])]
    return {"version": "toy", "data": [{"title": split, "paragraphs": stories}]}


def words() -> list[str]:
    """Every word, number and sign a story or question can hold: lower case, each once, sorted."""
    texts = [*PEOPLE, *TOWNS, *MONTHS, *GOODS, *PURCHASE, *FILLERS]
    texts += itertools.chain(*DETAILS, *QUESTIONS.values())
    found = {word for text in texts for word in re.findall(r"\w+|[^\w\s{}]", text.lower())}
    return sorted(found - set(QUESTIONS) | {str(n) for n in range(1, 100)})


def _story(draw: random.Random, name: str) -> dict[str, Any]:
    part = draw.choice(list(QUESTIONS))
    template, facts = _template(draw, "{" + part + "}"), _facts(draw)
    start = len(template[: template.index("{" + part + "}")].format(**facts))
    question = {
        "id": name,
        "question": draw.choice(QUESTIONS[part]).format(**facts),
        "answers": [{"text": facts[part], "answer_start": start}],
    }
    return {"context": template.format(**facts), "qas": [question]}


def _template(draw: random.Random, slot: str) -> str:
    """The sentences of one story, their slots still open; `slot` is among them."""
    while True:
        details = draw.sample(DETAILS, draw.choice(DET))
        sentences = [draw.choice(PURCHASE), *(draw.choice(ways) for ways in details)]
        if draw.random() < 0.5:
            sentences.insert(draw.randrange(len(sentences)), draw.choice(FILLERS))
        if slot in (template := " ".join(sentences)):
            return template


DET = (1, 2, 3)


def _facts(draw: random.Random) -> dict[str, str]:
    days = zip(draw.sample(range(1, 29), 2), draw.sample(MONTHS, 2), strict=True)
    values = [
        *draw.sample(PEOPLE, 3),
        *draw.sample(TOWNS, 3),
        *(f"{day} {month}" for day, month in days),
        *map(str, draw.sample(range(10, 100), 2)),
        draw.choice(GOODS),
    ]
    return dict(zip((*QUESTIONS, "goods"), values, strict=True))
