"""Examples -> tokenised windows: question first, the paragraph in overlapping pieces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from prune.tasks.squad_reader import Example

CHUNK = 1000  # examples tokenised at once


@dataclass(frozen=True)
class Window:
    """One input: its tokens, the example it is of, and where its tokens are in the paragraph."""

    inputs: dict[str, list[int]]
    example: int
    spans: list[tuple[int, int] | None]  # of each token: characters of the paragraph, or None


def windows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    doc_stride: int,
) -> Iterator[Window]:
    """Every window of every example, in order; only the paragraph is cut.

    Two windows of a paragraph share `doc_stride` tokens (fewer where the question leaves less).
    """
    for first in range(0, len(examples), CHUNK):
        chunk = examples[first : first + CHUNK]
        encoded = _encode(chunk, tokenizer, max_length, doc_stride)
        names = [n for n in tokenizer.model_input_names if n in encoded]
        for row, number in enumerate(encoded["overflow_to_sample_mapping"]):
            spans = [
                span if part == 1 else None
                for span, part in zip(
                    encoded["offset_mapping"][row], encoded.sequence_ids(row), strict=True
                )
            ]
            yield Window({n: encoded[n][row] for n in names}, first + number, spans)


def _encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    doc_stride: int,
) -> Any:
    questions = [e.question.strip() for e in examples]
    # A very long question must leave room for some of the paragraph.
    room = max_length - doc_stride - tokenizer.num_special_tokens_to_add(pair=True) - 1
    cut = tokenizer(questions, add_special_tokens=False, truncation=True, max_length=max(1, room))
    kept = [
        tokenizer.decode(ids) if len(ids) >= room else q
        for ids, q in zip(cut["input_ids"], questions, strict=True)
    ]
    return tokenizer(
        kept,
        [e.context for e in examples],
        truncation="only_second",
        max_length=max_length,
        stride=doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def answer_tokens(window: Window, text: str, start: int) -> tuple[int, int]:
    """First and last token of an answer in its window; (0, 0), [CLS], if it is not all there."""
    end = start + len(text)
    inside = [
        i for i, span in enumerate(window.spans) if span and span[0] < end and span[1] > start
    ]
    if not inside:
        return 0, 0
    first, last = window.spans[inside[0]], window.spans[inside[-1]]
    assert first and last
    whole = first[0] <= start and last[1] >= end
    return (inside[0], inside[-1]) if whole else (0, 0)
