"""The embedded task: generated questions about short paragraphs, in SQuAD's format and metric."""

from typing import ClassVar

from transformers import BertTokenizer, PreTrainedTokenizerBase

from prune.tasks import squad_reader, toy_text
from prune.tasks.squad import Squad
from prune.tasks.squad_reader import Example

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Toy(Squad):
    """Needs no file and no network; a small BERT from scratch learns it in a minute."""

    name: ClassVar[str] = "toy"

    def read(self, split: str) -> list[Example]:
        content = toy_text.generate(split, self.config.data_seed)
        return squad_reader.from_content(content, "the toy task")


def toy_tokenizer() -> PreTrainedTokenizerBase:
    """A BERT tokenizer whose vocabulary is the words the generator knows."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *toy_text.words()])}
    return BertTokenizer(vocab=vocabulary)
