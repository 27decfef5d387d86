"""RunTrainer: the trainer of a run. It continues from its last checkpoint, bit for bit.

What moves during a training is saved: full weights and scores (the pruner's), the model's buffers,
the optimizer, the schedule, every random generator, and the loss since the last line of the log.
The order of the examples is a function of seed and epoch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, final

from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from prune.errors import StoreError, TrainingError
from prune.training.checkpoints import Checkpoint, Checkpoints
from prune.training.stops import Stops
from prune.training.trainer import PRUNER_FILE, SparseTrainer

WEIGHTS_FILE = "model.safetensors"


class Companion(Protocol):
    """What goes along with the training and keeps something of its own in each checkpoint.

    `take_up` comes before the weights are read: the model may have to take another shape first.
    """

    def write(self, folder: Path) -> None: ...

    def take_up(self, folder: Path) -> None: ...


@final
class RunTrainer(SparseTrainer):
    """`checkpoints`: those of this phase. `clock`: seconds that the run has taken.

    `warn` is told what did not work and does not matter much.
    """

    def __init__(
        self,
        *args: Any,
        checkpoints: Checkpoints,
        clock: Callable[[], float],
        warn: Callable[[str], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.network: nn.Module = kwargs["model"]
        self.checkpoints, self.clock, self.warn = checkpoints, clock, warn
        self.companions: list[Companion] = []

    def go_on(self, found: Checkpoint | None) -> None:
        """Train from `found`, or from the start. Ctrl-C and SIGTERM leave a checkpoint behind."""
        if found and found.finished:
            self._take(found)
            return
        with Stops() as stops:
            self.add_callback(Saver(self, stops, found))
            try:
                self.train(resume_from_checkpoint=str(found.path) if found else None)
            except TrainingError:  # it would end the same way again
                self.checkpoints.clear()
                raise
            self._keep(self.checkpoints, self._write_finished, finished=True)
            stops.heed()

    def _take(self, found: Checkpoint) -> None:
        """Be as after the training that `found` is the end of."""
        self.state.global_step = found.step
        self.state.max_steps = found.steps
        self.create_optimizer()
        self._load_network(found.path)
        self.pruner.load_state_dict(load_file(found.path / PRUNER_FILE))

    def keep(self, where: Checkpoints) -> None:
        """A checkpoint of this moment between two steps."""
        self._keep(where, self._write)

    # -- what the Trainer calls ------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.keep(self.checkpoints)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Later, beside the optimizer: both may have to take another shape first."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self._load_network(Path(checkpoint))
        super()._load_optimizer_and_scheduler(checkpoint)

    # --------------------------------------------------------------------------------------------

    def _load_network(self, folder: Path) -> None:
        for companion in self.companions:
            companion.take_up(folder)
        load_model(self.network, folder / WEIGHTS_FILE)

    def _keep(
        self, where: Checkpoints, write: Callable[[Path], None], finished: bool = False
    ) -> None:
        state = Checkpoint(
            self.state.global_step,
            self.state.max_steps,
            self.clock(),
            self._tr_loss.item(),
            self._globalstep_last_logged,
            finished,
        )
        try:
            where.write(state, write)
        except StoreError as error:  # the training is worth more than its checkpoint
            self.warn(f"no checkpoint at step {state.step}: {error}")

    def _write(self, folder: Path) -> None:
        self._write_network(folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

    def _write_network(self, folder: Path) -> None:
        save_model(self.network, str(folder / WEIGHTS_FILE))
        for companion in self.companions:
            companion.write(folder)

    def _write_finished(self, folder: Path) -> None:
        self._write_network(folder)
        state = {name: tensor.contiguous() for name, tensor in self.pruner.state_dict().items()}
        save_file(state, folder / PRUNER_FILE)


class Saver(TrainerCallback):
    """Asks for a checkpoint when one is due, or when the process was told to stop; then stops."""

    def __init__(self, trainer: RunTrainer, stops: Stops, found: Checkpoint | None) -> None:
        self.trainer, self.stops, self.found = trainer, stops, found

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        if self.found:  # the next line of the log is the mean since the last one, as ever
            self.trainer._tr_loss.fill_(self.found.loss)
            self.trainer._globalstep_last_logged = self.found.logged

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if state.global_step < state.max_steps:
            control.should_save = self.stops.asked or self.trainer.checkpoints.due()
        return control

    def on_save(self, *_: Any, **__: Any) -> None:
        self.stops.heed()
