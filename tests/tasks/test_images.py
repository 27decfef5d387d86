"""Pictures in folders: read, made fit, learned and pruned by a small ViT."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

import prune
from prune import tasks
from prune.cli import main
from prune.config import RunConfig, TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.store import Store
from prune.tasks.images import ImageTask
from prune.teachers import cached_teacher
from prune.training.distillation import OnlineTeacher, kd_loss
from tests.tasks import shapes

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
    "patch_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write(tmp_path_factory.mktemp("pictures") / "shapes")


def images(folder: Path, source: str | None = None, **changes: Any) -> ImageTask:
    config = TaskConfig("images", str(folder), **{"max_length": 32, **changes})
    task = tasks.get(config, tasks.processor_for(config, source))
    assert isinstance(task, ImageTask)
    return task


def vit(folder: Path, **changes: Any) -> str:
    torch.manual_seed(0)
    config = ViTConfig(**{"image_size": 32, **SIZES, **changes})
    ViTForImageClassification(config).save_pretrained(folder)
    return str(folder)


def few(folder: Path, *classes: str) -> Path:
    """One picture a class in both splits."""
    for split in ("train", "val"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            Image.new("RGB", (9, 7), "red").save(folder / split / name / "one.JPEG")
    return folder


# --- a run ---------------------------------------------------------------------------------------


def test_a_small_vit_learns_the_shapes_is_pruned_and_comes_back(
    folder: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = "experiment:dense_images model=vit_toy train.lr=3e-3 train.epochs=6 measure.rounds=3"
    command = [
        "train",
        "+experiment=hybrid_images",
        f"task.data_dir={folder}",
        "model.name=vit_toy",
    ]
    command += [f"model.name_or_path='{dense}'", f"teacher.name_or_path='{dense}'"]
    command += ["task.max_length=32", "train.epochs=6", "train.lr=3e-3", "train.scores_lr=3e-2"]
    command += ["attention.block=[16,16]", "target.density=0.5", "measure.rounds=3"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "logits cached" in out and "Accuracy" in out
    first, second = Store(runs).records()
    point = second.points[0]
    assert first.points[0].quality["accuracy"] > 85 and point.quality["accuracy"] > 85
    assert 33 < point.quality["macro_f1"] <= 100
    assert point.density.nonzero < 0.55 and point.density.stored < 0.8
    assert [(cell.batch, cell.length) for cell in point.latency] == [(32, 32), (1, 32)]
    saved = str(Path(second.path) / "model")
    model = prune.load(saved)
    assert isinstance(model, ViTForImageClassification)
    assert list(model.config.id2label.values()) == sorted(shapes.CLASSES)
    again = images(folder, saved).evaluate(model, 16)  # with the image processor beside the model
    assert again == point.quality


# --- reading -------------------------------------------------------------------------------------


def test_classes_are_folders_and_samples_are_stable(folder: Path, tmp_path: Path) -> None:
    task = images(folder, max_train_samples=10, max_eval_samples=4)
    assert task.labels == sorted(shapes.CLASSES) and task.logits_shape() == (3,)
    assert len(images(folder).train) == 120 and len(images(folder).eval) == 45
    assert task.train["file"] == images(folder, max_train_samples=12).train["file"][:10]
    for row in task.train:
        assert task.labels[row["labels"]] == Path(row["file"]).parent.name
    assert images(few(tmp_path, "10", "9")).labels == ["9", "10"]  # by number, not by letters


def test_a_batch_is_what_the_model_reads(folder: Path, tmp_path: Path) -> None:
    task = images(folder)
    model = task.new_model(SIZES)
    batch = task.collate([task.train[i] for i in (5, 50, 110)])
    assert batch["pixel_values"].shape == (3, 3, 32, 32)
    assert batch["labels"].tolist() == [0, 1, 2] and batch.pop("index").tolist() == [5, 50, 110]
    assert batch["pixel_values"].abs().max() <= 1
    loss = model(**batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    right = [torch.eye(3)[n // 15] for n in range(45)]
    assert task.score({"logits": right}) == {"accuracy": 100.0, "macro_f1": 100.0}
    inputs = task.sample_batches(8, 2)
    assert [set(b) for b in inputs] == [{"pixel_values"}] * 2
    assert task.evaluate(model, 7) == task.evaluate(model, 45)


def test_pictures_of_any_kind_are_upright_and_in_colour(tmp_path: Path) -> None:
    few(tmp_path, "a", "b")
    (tmp_path / "train/a/deeper").mkdir()
    for name in ("Thumbs.db", ".hidden.png", "notes.txt"):
        (tmp_path / "train/a" / name).write_text("no picture")
    Image.new("L", (5, 9), 255).save(tmp_path / "train/a/grey.png")
    Image.new("RGBA", (5, 9), (255, 255, 255, 9)).save(tmp_path / "train/a/deeper/alpha.webp")
    Image.new("P", (5, 9), 0).save(tmp_path / "train/a/palette.png", transparency=b"\x00")
    turned = Image.new("RGB", (20, 10), "black")
    turned.paste("white", (0, 0, 10, 10))  # the left half; turned it is the upper one
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "train/a/turned.png", exif=exif)
    task = images(tmp_path)
    assert len(task.train) == 6
    values = {Path(row["file"]).name: task.collate([row])["pixel_values"][0] for row in task.train}
    assert values["grey.png"].min() == 1
    upright = values["turned.png"]
    assert upright[:, :8].min() == 1 and upright[:, -8:].max() == -1


def test_the_models_own_processor_is_used_and_without_one_the_plain_one(
    folder: Path, tmp_path: Path
) -> None:
    source = vit(tmp_path)
    plain = images(folder, source)
    assert plain.processor.to_dict() == images(folder).processor.to_dict()
    own = ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0, 0, 0], do_resize=True
    )
    own.save_pretrained(tmp_path)
    task = images(folder, source)
    assert task.processor.to_dict() == own.to_dict() and task.fingerprint() != plain.fingerprint()
    task.check(task.load_model(source), "it")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    task = images(folder, source)
    with pytest.raises(ConfigError, match=r"of 3 x 32 x 32, and its .* makes 3 x 16 x 16:"):
        task.check(task.load_model(source), "it")


def test_the_fingerprint_is_that_of_the_pixels(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert images(folder).fingerprint() == images(copy).fingerprint()
    Image.new("RGB", (40, 36)).save(copy / "train/red_disc/7.png")
    assert images(folder).fingerprint() != images(copy).fingerprint()


def test_the_cached_teacher_is_the_online_one(folder: Path, tmp_path: Path) -> None:
    task = images(folder, max_train_samples=9)
    network = task.new_model(SIZES).eval()
    kept = cached_teacher(RunConfig(task=task.config), network, task, Store(tmp_path / "runs"))
    batch = task.collate([task.train[i] for i in (7, 2, 5)])
    online = OnlineTeacher(network, task.logit_names).logits(batch)
    torch.testing.assert_close(kept.logits(batch)[0].float(), online[0], rtol=2e-3, atol=2e-3)
    assert kd_loss(online, online, ["logits"], None, 2.0).item() == pytest.approx(0, abs=1e-6)


# --- what is wrong gets its line -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "has no folder train: give one with train/CLASS/PICTURE.png"),
        (lambda f: few(f, "a"), "train has 1 folders: it needs one for each class"),
        (lambda f: shutil.rmtree(few(f, "a", "b") / "val"), "has no folder validation or valid"),
        (lambda f: (few(f, "a", "b") / "train/b/one.JPEG").unlink(), "train/b has no pictures (.p"),
        (lambda f: (few(f, "a", "b") / "val/c").mkdir(), "val/c has no pictures"),
        (
            lambda f: shutil.copytree(few(f, "a", "b") / "val/a", f / "val/c"),
            "val/c/one.JPEG: the class 'c' is not in the train folder (there: a, b)",
        ),
        (
            lambda f: (few(f, "a", "b") / "val/b/two.png").write_text("no picture"),
            "val/b/two.png cannot be read as a picture",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path)
    task = images(tmp_path)
    with pytest.raises(MissingInputError, match=re.escape(message)) as caught:
        len(task.train), len(task.eval)
    assert "\n" not in str(caught.value)


def test_a_picture_that_ends_too_soon_is_named(tmp_path: Path) -> None:
    file = few(tmp_path, "a", "b") / "train/a/one.JPEG"
    file.write_bytes(file.read_bytes()[:-90])
    task = images(tmp_path)
    with pytest.raises(MissingInputError, match=r"train/a/one\.JPEG cannot be read as a picture"):
        task.collate(list(task.train))


def test_models_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    task = images(folder)
    model = task.new_model(SIZES)
    task.check_length(model, "measure.grid", 32)
    with pytest.raises(ConfigError, match=r"measure\.grid: the model reads 32 x 32 pixels, not 16"):
        task.check_length(model, "measure.grid", 16)
    other = task.load_model(vit(tmp_path / "other", image_size=16))
    with pytest.raises(ConfigError, match="teacher it reads 16 x 16 pixels and the model 32 x 32"):
        task.check_teacher(other, model, "it")
    with pytest.raises(ConfigError, match=r"image_size of its config is \[32, 16\]"):
        images(folder, vit(tmp_path / "long", image_size=[32, 16]))
    with pytest.raises(ConfigError, match=r"model\.scratch reads colours x pixels of 1 x 32 x 32"):
        task.new_model({**SIZES, "num_channels": 1})
    with pytest.raises(ConfigError, match=r"needs your own files: task\.data_dir=FOLDER"):
        len(ImageTask(TaskConfig("images"), task.processor, 0).train)
