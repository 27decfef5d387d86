"""What a run is made of: plain frozen dataclasses; `prune.checks` says what is wrong with one.

Nothing here knows of Hydra or torch; `prune.compose` turns YAML and overrides into a `RunConfig`.
Densities and ratios are in [0, 1]; lengths are in tokens; steps are optimizer steps.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from prune.choices import ALGORITHMS, GEOMETRIES, SHARINGS, TASKS

PRECISIONS = ("fp32", "bf16")
ALIGNED = 16  # widths of whose multiples matrix products are fastest


def one_of(default: str, choices: tuple[str, ...]) -> Any:
    """A string field whose value must be one of `choices`."""
    return field(default=default, metadata={"choices": choices})


def at_least(low: float, default: Any, high: float | None = None) -> Any:
    """A number field with a lower and, if given, an upper bound (both included)."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class TaskConfig:
    name: str = one_of("toy", TASKS)
    data_dir: str | None = None  # a local folder; without it the data comes from the hub
    max_length: int = at_least(8, 384)  # tokens; of images, pixels of a side
    doc_stride: int | None = at_least(0, None)  # tokens two windows share; None: a third of it
    max_train_samples: int | None = at_least(1, None)
    max_eval_samples: int | None = at_least(1, None)
    short_only: bool = False  # keep only examples that fit in max_length as one window
    train_file: str | None = None  # in data_dir, of text and tokens: a name that is not the usual
    eval_file: str | None = None
    text_columns: list[str] = field(default_factory=lambda: ["text"])  # one, or two for a pair
    label_column: str = "label"
    prefix: str = ""  # of each text, in summarization: T5 was trained with "summarize: "
    summary_length: int = at_least(4, 64)  # tokens, of those read and of those written
    beams: int | None = at_least(1, None)  # to write summaries with; None: the model's own
    data_seed: int = 0  # which examples, in which order, before training shuffles them


@dataclass(frozen=True)
class ModelConfig:
    name: str = "toy"
    # A hub name, a folder, a run id, or `experiment:NAME [OVERRIDES]`; None: from scratch.
    name_or_path: str | None = None
    scratch: dict[str, Any] = field(default_factory=dict)  # architecture of a model from scratch


@dataclass(frozen=True)
class PartConfig:
    """How one part of the network (attention or FFN) is pruned. `name: dense` leaves it alone."""

    name: str = "dense"
    algorithm: str = one_of("sigmoid_threshold", ALGORITHMS)
    geometry: str = one_of("block", GEOMETRIES)
    block: list[int] = field(default_factory=lambda: [32, 32])  # rows, columns
    sharing: str = one_of("none", SHARINGS)
    weight: float = at_least(0, 1.0)  # of this part in the penalty
    scope: str = one_of("matrix", ("matrix", "global"))  # what topk and magnitude rank together
    min_density: float = at_least(0, 0.005, 1)  # threshold methods keep this much of a matrix
    ampere: bool = False  # times 2 of every 4 weights
    rules: list[dict[str, Any]] = field(default_factory=list)  # RULE_KEYS each; of `name: custom`


@dataclass(frozen=True)
class ScheduleConfig:
    """The cubic ramp of the threshold: warm-up w, `initial` and `final` in units of w."""

    warmup_steps: int | None = at_least(0, None)  # if not given: warmup_ratio of all steps
    warmup_ratio: float = at_least(0, 0.0488, 1)  # 5400 of 110660 steps, as published
    initial: float = at_least(0, 1.0)
    final: float = at_least(0, 10.0)
    ramp_epochs: float | None = at_least(0, None)  # pruning speed: overrides `final`
    end: float | None = None  # threshold after the ramp; None: the algorithm's own
    penalty: float = at_least(0, 0.0)  # lambda


@dataclass(frozen=True)
class TargetConfig:
    """What a run is to reach; at most one of them. It ends within 3 % of it, or says why not."""

    density: float | None = at_least(0, None, 1)  # of the weights the pruned parts once had
    params: float | None = at_least(1, None)  # parameters of the whole network, once shrunk
    speedup: float | None = at_least(1, None)  # dense time / pruned time
    latency_ms: float | None = at_least(0, None)
    batch: int | None = at_least(1, None)  # of speedup and latency_ms; None: measure.grid's first
    length: int | None = at_least(1, None)

    def asked(self) -> list[str]:
        """The names of the targets that are set."""
        names = ("density", "params", "speedup", "latency_ms")
        return [name for name in names if getattr(self, name) is not None]


@dataclass(frozen=True)
class TeacherConfig:
    name: str = "none"
    name_or_path: str | None = None  # as model.name_or_path; None: no distillation
    temperature: float = at_least(1e-6, 2.0)
    distil_weight: float = at_least(0, 0.9)
    task_weight: float = at_least(0, 0.1)
    cache: bool = True


@dataclass(frozen=True)
class TrainConfig:
    epochs: float = at_least(0, 20.0)
    max_steps: int | None = at_least(1, None)
    batch_size: int = at_least(1, 16)
    accumulation: int = at_least(1, 1)
    lr: float = at_least(0, 3e-5)
    scores_lr: float = at_least(0, 1e-2)
    weight_decay: float = at_least(0, 0.0)
    clip: float = at_least(0, 1.0)
    precision: str = one_of("fp32", PRECISIONS)
    group_by_length: bool = True
    eval_batch_size: int = at_least(1, 64)
    log_steps: int = at_least(1, 20)
    targets: list[float] = field(default_factory=list)  # easier ones, passed on the way: see forks
    trunk: str | None = None  # the run this one was forked from; set by that run


@dataclass(frozen=True)
class ShrinkConfig:
    round_to: int = at_least(1, ALIGNED)  # keep FFN widths a multiple of this
    tolerance: float = at_least(0, 1e-4)  # largest difference of logits, fp32
    in_training: bool = False  # cut off what has been dead for long while the training goes on
    patience: float = at_least(0, 0.1, 1)  # share of the steps for which it must have been dead


@dataclass(frozen=True)
class SwapConfig:
    """Cheaper modules, mixed in during training and folded at the end."""

    nonorm: bool = False  # LayerNorm -> NoNorm
    relu: bool = False  # GELU -> ReLU
    ratio: float = at_least(0, 0.5, 1)  # of the steps, over which the mix goes from old to new


@dataclass(frozen=True)
class FillConfig:
    """Densification: fine-tune once more with the zeros inside the surviving heads revived."""

    epochs: float = at_least(0, 0.0)  # 0: no such phase
    lr: float | None = at_least(0, None)  # None: train.lr


@dataclass(frozen=True)
class MeasureConfig:
    grid: list[list[int]] = field(default_factory=lambda: [[32, 128], [1, 128]])  # [batch, length]
    runtimes: list[str] = field(default_factory=lambda: ["eager"])  # the first is the headline
    real_length: bool = False  # also in batches of the task's own lengths, not padded further
    rounds: int = at_least(3, 7)
    threads: int | None = at_least(1, None)  # None: what torch has


@dataclass(frozen=True)
class RunConfig:
    """One run, complete. Its id is the hash of everything here except `group`."""

    experiment: str = "toy"
    group: str = "single"  # folder below runs/: `single` or the sweep's name
    seed: int = at_least(0, 0)
    task: TaskConfig = field(default_factory=TaskConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    attention: PartConfig = field(default_factory=PartConfig)
    ffn: PartConfig = field(default_factory=PartConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    shrink: ShrinkConfig = field(default_factory=ShrinkConfig)
    swap: SwapConfig = field(default_factory=SwapConfig)
    fill: FillConfig = field(default_factory=FillConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)


def as_dict(config: RunConfig) -> dict[str, Any]:
    return dataclasses.asdict(config)


def known_keys() -> list[str]:
    """Every key of a run config, dotted."""
    keys = []
    for item in dataclasses.fields(RunConfig):
        if dataclasses.is_dataclass(item.type):
            keys += [f"{item.name}.{inner.name}" for inner in dataclasses.fields(item.type)]
        else:
            keys.append(item.name)
    return keys


def run_id(config: RunConfig) -> str:
    """Eight hex digits of the sha256 of the canonical config."""
    content = as_dict(config)
    del content["group"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
