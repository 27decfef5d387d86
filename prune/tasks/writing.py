"""How a T5 or BART writes: as its own generation config says, but for the lengths and the beams."""

from typing import Any

from transformers import GenerationConfig, PreTrainedModel


def writing(
    model: PreTrainedModel, most: int, least: int = 0, beams: int | None = None
) -> GenerationConfig:
    """At most `most` tokens, at least `least`; None: the model's own beams. Nothing is drawn.

    What is not named here, transformers takes from the model.
    """
    own = model.generation_config
    settings: dict[str, Any] = {
        "do_sample": False,
        "num_beams": beams,
        # With the token that the decoder begins with; a model may count without it, or with it.
        **({"max_new_tokens": most} if own.max_new_tokens else {"max_length": most + 1}),
        "min_length": least + 1 if least else min(own.min_length or 0, most),
    }
    return GenerationConfig(**settings)  # type: ignore[no-untyped-call]
