"""Entities of tag sequences, and their exact F1 as CoNLL-2000 and later shared tasks count it.

Tags are `O` or PREFIX-TYPE in IOB1, IOB2, IOBES or BILOU; a tag without a prefix (a part of speech)
is an entity of one word. An entity counts as found only if its type and both its ends are right.
"""

from collections import Counter
from collections.abc import Sequence

ONE, LAST = "SU", "EL"  # prefixes of an entity of one word, and of a last word
Entity = tuple[str, int, int]  # type, first word, last word


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence, from left to right.

    An entity goes on where the next tag has its type and does not begin another.
    """
    found: list[Entity] = []
    open_ = False  # whether the last entity may go on
    for place, tag in enumerate(tags):
        prefix, kind = _parts(tag)
        if prefix == "O":
            open_ = False
            continue
        goes_on = open_ and prefix not in "B" + ONE and found[-1][0] == kind
        if goes_on:
            found[-1] = (kind, found[-1][1], place)
        else:
            found.append((kind, place, place))
        open_ = prefix not in ONE + LAST
    return found


def score(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """F1, precision and recall of entities over all sentences, and accuracy of tags, in percent."""
    ours, theirs = _all(predictions), _all(references)
    right = sum((ours & theirs).values())
    words = [
        p == r
        for predicted, reference in zip(predictions, references, strict=True)
        for p, r in zip(predicted, reference, strict=True)
    ]
    return {
        "f1": 200 * right / max(1, ours.total() + theirs.total()),
        "precision": 100 * right / max(1, ours.total()),
        "recall": 100 * right / max(1, theirs.total()),
        "accuracy": 100 * sum(words) / max(1, len(words)),
    }


def _all(sentences: Sequence[Sequence[str]]) -> Counter[tuple[int, Entity]]:
    return Counter((n, entity) for n, tags in enumerate(sentences) for entity in entities(tags))


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag."""
    if tag == "O":
        return "O", ""
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if dash and prefix in ("B", "I", *ONE, *LAST) else ("S", tag)
