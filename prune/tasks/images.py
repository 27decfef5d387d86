"""Classification of one's own pictures, one folder a class, for ViT. Needs no torchvision."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForImageClassification,
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ViTConfig,
)

from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks import metrics
from prune.tasks.base import Processor, Task
from prune.tasks.files import sample
from prune.tasks.pictures import Picture, classes, picture, pictures_of
from prune.tasks.pretrained import load_config, load_image_processor
from prune.tasks.sequence import in_order, label_settings

FOLDERS = {"train": ("train",), "eval": ("validation", "valid", "val", "eval", "dev", "test")}


class ImageTask(Task):
    """`task.data_dir` has the pictures in train/CLASS/ and validation/CLASS/ (or valid, val, ...).

    The classes are the folders of `train`, in the order of numbers if all are numbers, else of the
    alphabet. `task.max_length` is the side, in pixels, of what the model reads. Pictures are made
    fit as the model's own image processor says, or else scaled to that side and to [-1, 1]. None is
    flipped or cropped at random, so a teacher's logits of it can be kept.
    """

    name: ClassVar[str] = "images"
    metric = "accuracy"
    logit_names: ClassVar[tuple[str, ...]] = ("logits",)
    model_class: ClassVar[Any] = AutoModelForImageClassification

    @classmethod
    def load_processor(cls, config: TaskConfig, name_or_path: str | None) -> Processor:
        if name_or_path is None:
            return plain_processor(config.max_length)
        side = side_of(load_config(name_or_path), name_or_path)
        return load_image_processor(name_or_path) or plain_processor(side)

    @cached_property
    def labels(self) -> list[str]:
        folder = self._folder("train")
        found = in_order(path.name for path in classes(folder))
        if len(found) < 2:
            raise MissingInputError(
                f"{folder} has {len(found)} folders: it needs one for each class, two at least"
            )
        return found

    @property
    def head(self) -> Mapping[str, Any]:
        return label_settings(self.labels) | {"problem_type": "single_label_classification"}

    def logits_shape(self) -> tuple[int, ...]:
        return (len(self.labels),)

    @cached_property
    def train(self) -> datasets.Dataset:
        pictures = self._pictures("train", self.config.max_train_samples)
        return _rows(pictures).add_column("labels", self._numbers(pictures))

    @cached_property
    def eval(self) -> datasets.Dataset:
        return _rows(self._eval_pictures)

    @cached_property
    def _eval_pictures(self) -> list[Picture]:
        return self._pictures("eval", self.config.max_eval_samples)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Features -> pixel_values (batch, channels, side, side); labels and `index` are kept."""
        numbers = {
            name: torch.tensor([f[name] for f in features])
            for name in ("labels", "index")
            if name in features[0]
        }
        return {"pixel_values": self.pixels([picture(Path(f["file"])) for f in features])} | numbers

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """What the model reads, (batch, channels, side, side)."""
        assert isinstance(self.processor, BaseImageProcessor)
        values: Tensor = self.processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return values

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        predictions = [float(row.argmax()) for row in outputs["logits"]]
        references = self._numbers(self._eval_pictures)
        return metrics.score(("accuracy", "macro_f1"), predictions, references)

    def fingerprint(self) -> str:
        """A hash of the files of the training pictures, and of how they are made fit."""
        digest = hashlib.sha256(repr(self.processor).encode())
        for row in self.train:
            digest.update(f"{row['labels']} ".encode())
            digest.update(hashlib.sha256(Path(row["file"]).read_bytes()).digest())
        return digest.hexdigest()

    def fresh(self) -> tuple[type[PreTrainedConfig], dict[str, Any]]:
        return ViTConfig, {"image_size": self.config.max_length}

    def check(self, model: PreTrainedModel, name: str) -> None:
        super().check(model, name)
        side = side_of(model.config, name)
        wanted = (model.config.num_channels, side, side)
        made = tuple(self.pixels([Image.new("RGB", (9, 7))]).shape[1:])
        if made != wanted:
            raise ConfigError(
                f"{name} reads colours x pixels of {' x '.join(map(str, wanted))}, and its image "
                f"processor makes {' x '.join(map(str, made))}: mend its preprocessor_config.json"
            )

    def check_length(self, model: PreTrainedModel, key: str, length: int) -> None:
        side = side_of(model.config, "the model")
        if length != side:
            raise ConfigError(f"{key}: the model reads {side} x {side} pixels, not {length}")

    def check_teacher(self, teacher: PreTrainedModel, model: PreTrainedModel, name: str) -> None:
        theirs, ours = side_of(teacher.config, name), side_of(model.config, "the model")
        if theirs != ours:
            raise ConfigError(
                f"teacher {name} reads {theirs} x {theirs} pixels and the model {ours} x {ours}: "
                "name one that reads the same"
            )

    def _pictures(self, split: str, count: int | None) -> list[Picture]:
        """Those of `train` or `eval`: `count` of them, or all."""
        found = list(pictures_of(self._folder(split)))
        if unseen := {p.label: p for p in found if p.label not in self.labels}:
            first = next(iter(unseen.values()))
            raise MissingInputError(
                f"{first.file}: the class {first.label!r} is not in the train folder "
                f"(there: {', '.join(self.labels[:8])})"
            )
        return sample(found, count, self.config.data_seed)

    def _numbers(self, pictures: Sequence[Picture]) -> list[int]:
        place = {label: number for number, label in enumerate(self.labels)}
        return [place[picture.label] for picture in pictures]

    def _folder(self, split: str) -> Path:
        if self.config.data_dir is None:
            raise ConfigError(f"task={self.config.name} needs your own files: task.data_dir=FOLDER")
        root, names = Path(self.config.data_dir), FOLDERS[split]
        for name in names:
            if (root / name).is_dir():
                return root / name
        raise MissingInputError(
            f"{root} has no folder {' or '.join(names[:3])}: give one with "
            f"{names[0]}/CLASS/PICTURE.png with task.data_dir=FOLDER"
        )


def plain_processor(side: int) -> BaseImageProcessor:
    """Scales to `side` x `side` pixels, and colours to [-1, 1], as ViT was trained."""
    from transformers import ViTImageProcessorPil

    processor: BaseImageProcessor = ViTImageProcessorPil(size={"height": side, "width": side})
    return processor


def side_of(config: PreTrainedConfig, name: str) -> int:
    """Pixels of a side of what a model reads. Raises ConfigError if it does not read squares."""
    size = getattr(config, "image_size", None)
    sides = set(size) if isinstance(size, list | tuple) else {size}
    side = sides.pop() if len(sides) == 1 else None
    if not isinstance(side, int):
        raise ConfigError(f"{name} reads no square pictures: image_size of its config is {size}")
    return side


def _rows(pictures: Sequence[Picture]) -> datasets.Dataset:
    columns = {
        "file": [str(picture.file) for picture in pictures],
        "index": list(range(len(pictures))),
        "length": [1] * len(pictures),
    }
    return datasets.Dataset.from_dict(columns)
