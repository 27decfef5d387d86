"""The embedded data set: short stories of a purchase in plain English, each with one question.

A story names people, places, dates and amounts, some of them twice: a buyer and a seller, the town
of the shop and the town the goods came from. So an answer needs both the kind of word asked for
and its part in the story; and as each story draws its facts anew, it can only be read off. The
content has the structure of a SQuAD file, and the same split and seed give the same text.
"""

import itertools
import random
import re
from typing import Any

COUNTS = {"train": 4000, "eval": 400}  # stories, with one question each
DETAILS_TOLD = (1, 2, 3)  # how many of the four below one story tells

WORDS = {
    "people": "Adam Anna Bella Ben Carl Clara David Dora Elena Emil Fay Felix Greta Gus Hana Hugo "
    "Irene Ivan Jana Jonas Karin Kurt Lena Leon Maria Max Nils Nora Olga Otto Paula Peter Quinn "
    "Ralf Rosa Sara Simon Tessa Tom Ursula Uwe Vera Victor Wendy Willy Xenia Yusuf Zora",
    "towns": "Athens Berlin Cairo Dublin Essen Florence Geneva Hanoi Istanbul Jakarta Kyoto Lisbon "
    "Madrid Naples Oslo Prague Quito Riga Seville Turin Utrecht Vienna Warsaw York Zagreb",
    "months": "January February March April May June July August September October November "
    "December",
    "goods": "apples baskets books candles chairs coins drums eggs flags guitars hats jars kites "
    "lamps maps mirrors nails onions pens quilts ropes shirts tables umbrellas vases watches",
}
LISTS = {kind: text.split() for kind, text in WORDS.items()}
PURCHASE = (
    "The buyer {buyer} got {amount} {goods} in {shop} on {day}.",
    "On {day} the buyer {buyer} got {amount} {goods} in {shop}.",
    "In {shop} the buyer {buyer} got {amount} {goods} on {day}.",
)
DETAILS = (
    ("The seller {seller} was tired.", "The seller {seller} smiled."),
    ("The price was {price} euros.", "They cost {price} euros."),
    ("They came from {origin}.", "The {goods} were from {origin}."),
    ("They were needed before {deadline}.", "It had to be before {deadline}."),
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
    "shop": ("Where did {buyer} get the {goods}?", "In which town was {buyer}?"),
    "origin": ("Where did the {goods} come from?", "From which town were the {goods}?"),
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
    texts = [*WORDS.values(), *PURCHASE, *FILLERS]
    texts += itertools.chain(*DETAILS, *QUESTIONS.values())
    written = [re.sub(r"\{\w+\}", " ", text).lower() for text in texts]
    found = {word for text in written for word in re.findall(r"\w+|[^\w\s]", text)}
    return sorted(found | {str(n) for n in range(1, 100)})


def _story(draw: random.Random, name: str) -> dict[str, Any]:
    part = draw.choice(list(QUESTIONS))
    slot = "{" + part + "}"
    template, facts = _template(draw, slot), _facts(draw)
    question = {
        "id": name,
        "question": draw.choice(QUESTIONS[part]).format(**facts),
        "answers": [
            {
                "text": facts[part],
                "answer_start": len(template[: template.index(slot)].format(**facts)),
            }
        ],
    }
    return {"context": template.format(**facts), "qas": [question]}


def _template(draw: random.Random, slot: str) -> str:
    """The sentences of one story, their slots still open; `slot` is among them."""
    while True:
        details = draw.sample(DETAILS, draw.choice(DETAILS_TOLD))
        sentences = [draw.choice(PURCHASE), *(draw.choice(ways) for ways in details)]
        if draw.random() < 0.5:
            sentences.insert(draw.randint(1, len(sentences)), draw.choice(FILLERS))
        if slot in (template := " ".join(sentences)):
            return template


def _facts(draw: random.Random) -> dict[str, str]:
    """A value for each slot, in the order of QUESTIONS; then the goods."""
    days = zip(draw.sample(range(1, 29), 2), draw.sample(LISTS["months"], 2), strict=True)
    values = [
        *draw.sample(LISTS["people"], 2),
        *draw.sample(LISTS["towns"], 2),
        *(f"{day} {month}" for day, month in days),
        *map(str, draw.sample(range(10, 100), 2)),
        draw.choice(LISTS["goods"]),
    ]
    return dict(zip((*QUESTIONS, "goods"), values, strict=True))
