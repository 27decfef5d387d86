"""The embedded task: generated questions about short paragraphs, in SQuAD's format and metric."""

from typing import ClassVar

from transformers import BertTokenizer, PreTrainedTokenizerBase

from prune.config import TaskConfig
from prune.tasks import squad_reader, toy_text
from prune.tasks.base import Processor
from prune.tasks.pretrained import load_tokenizer
from prune.tasks.squad import Squad
from prune.tasks.squad_reader import Example

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Toy(Squad):
    """Needs no file and no network; a small BERT from scratch learns it in a minute."""

    name: ClassVar[str] = "toy"

    @classmethod
    def load_processor(cls, config: TaskConfig, name_or_path: str | None) -> Processor:
        return toy_tokenizer() if name_or_path is None else load_tokenizer(name_or_path)

    def read(self, split: str) -> list[Example]:
        content = toy_text.generate(split, self.config.data_seed)
        return squad_reader.from_content(content, "the toy task")


def toy_tokenizer() -> PreTrainedTokenizerBase:
    """A BERT tokenizer whose vocabulary is the words the generator knows."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *toy_text.words()])}
    return BertTokenizer(vocab=vocabulary)
