"""Examples -> tokenised windows: question first, the paragraph in overlapping pieces.

Each text is tokenised once, however many questions a paragraph has and however many windows it
takes; the windows are cut from the tokens. The result is what the tokenizer's own overflow gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

from prune.tasks.features import Ints
from prune.tasks.squad_reader import Example

CHUNK = 1000  # texts tokenised at once


@dataclass(frozen=True)
class Text:
    """Tokens of one text: ids (tokens,) and the characters each stands for, (tokens, 2)."""

    ids: Ints
    spans: Ints


@dataclass(frozen=True)
class Window:
    """One input of a model, the example it is of, and which of its tokens are the paragraph's."""

    inputs: dict[str, Ints]
    example: int
    first: int  # place of the first paragraph token in the input
    spans: Ints  # (paragraph tokens, 2): first character and end in the paragraph, of each


@dataclass(frozen=True)
class Frame:
    """The special tokens around a question and a paragraph, and the token types of all."""

    special: tuple[Ints, Ints, Ints]  # before, between, after
    types: tuple[int, ...]  # of: before, question, between, paragraph, after


def windows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    doc_stride: int,
) -> Iterator[Window]:
    """Every window of every example, in order.

    Two windows of a paragraph share `doc_stride` tokens. A question that would leave no more room
    than that is cut.
    """
    frame = frame_of(tokenizer)
    around = sum(map(len, frame.special))
    longest = max(1, max_length - around - doc_stride - 1)
    paragraphs: dict[str, Text] = {}
    for begin in range(0, len(examples), CHUNK):
        chunk = examples[begin : begin + CHUNK]
        fresh = list(dict.fromkeys(e.context for e in chunk if e.context not in paragraphs))
        paragraphs.update(zip(fresh, tokenised(fresh, tokenizer), strict=True))
        questions = tokenised([e.question.strip() for e in chunk], tokenizer)
        for number, (example, question) in enumerate(zip(chunk, questions, strict=True), begin):
            asked, text = question.ids[:longest], paragraphs[example.context]
            room = max_length - around - len(asked)
            for piece in pieces(len(text.ids), room, doc_stride):
                inputs = frame_inputs(frame, asked, text.ids[piece], tokenizer.model_input_names)
                first = len(frame.special[0]) + len(asked) + len(frame.special[1])
                yield Window(inputs, number, first, text.spans[piece])


def pieces(tokens: int, room: int, shared: int) -> Iterator[slice]:
    """Slices of at most `room` tokens that cover all; neighbours have `shared` in common."""
    begin = 0
    while begin + room < tokens:
        yield slice(begin, begin + room)
        begin += room - shared
    yield slice(begin, tokens)


def tokenised(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Text]:
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # that a paragraph is longer than the model is no news here
    )
    return [
        Text(np.array(ids, np.int32), np.array(spans, np.int32).reshape(-1, 2))
        for ids, spans in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def frame_of(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """Learned from one encoded pair, so that it holds for every tokenizer."""
    pair = tokenizer("a", "b", return_token_type_ids=True)
    ids, types, parts = pair["input_ids"], pair["token_type_ids"], pair.sequence_ids(0)
    question = [i for i, part in enumerate(parts) if part == 0]
    paragraph = [i for i, part in enumerate(parts) if part == 1]
    cuts = [0, question[0], question[-1] + 1, paragraph[0], paragraph[-1] + 1, len(ids)]
    special = [np.array(ids[a:b], np.int32) for a, b in list(pairwise(cuts))[::2]]
    return Frame(
        special=(special[0], special[1], special[2]),
        types=tuple(types[a] if a < b else 0 for a, b in pairwise(cuts)),
    )


def frame_inputs(
    frame: Frame, question: Ints, paragraph: Ints, names: Sequence[str]
) -> dict[str, Ints]:
    before, between, after = frame.special
    parts = (before, question, between, paragraph, after)
    ids = np.concatenate(parts)
    inputs = {
        "input_ids": ids,
        "token_type_ids": np.repeat(np.array(frame.types, np.int32), [len(p) for p in parts]),
        "attention_mask": np.ones(len(ids), np.int32),
    }
    return {name: inputs[name] for name in names if name in inputs}


def answer_tokens(window: Window, text: str, start: int) -> tuple[int, int]:
    """First and last token of an answer in its window; (0, 0), [CLS], if it is not all there."""
    end = start + len(text)
    inside = np.flatnonzero((window.spans[:, 0] < end) & (window.spans[:, 1] > start))
    if len(inside) == 0:
        return 0, 0
    first, last = int(inside[0]), int(inside[-1])
    whole = window.spans[first, 0] <= start and window.spans[last, 1] >= end
    return (window.first + first, window.first + last) if whole else (0, 0)
