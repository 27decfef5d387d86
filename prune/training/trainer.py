"""SparseTrainer: the Hugging Face Trainer that fine-prunes.

The model stays the dense model the Trainer knows; the Pruner works between its optimizer steps.
`SparseTrainerMixin` does the same for any subclass of Trainer; put it first among the bases.
"""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from prune.errors import TrainingError
from prune.masks.policy import Policy
from prune.masks.pruner import Pruner
from prune.speed.lease import Lease
from prune.training.distillation import NOT_INPUTS, Distillation
from prune.training.order import EpochOrder

PRUNER_FILE = "pruner.safetensors"


class SparseTrainerMixin:
    """Adds to a Trainer: `policy` (what is pruned), `distillation`, `scores_lr`, and `lease`.

    After `train()`, `self.pruner` holds the masks; `self.pruner.finish()` applies the last ones.
    """

    pruner: Pruner

    def __init__(
        self,
        *args: Any,
        policy: Policy,
        distillation: Distillation | None = None,
        scores_lr: float = 1e-2,
        lease: Lease | None = None,
        **kwargs: Any,
    ) -> None:
        self.policy = policy
        self.distillation = distillation
        self.scores_lr = scores_lr
        self.lease = lease or Lease(None)
        super().__init__(*args, **kwargs)
        self.loss_is_scaled_for_ga = False  # our loss is the mean of a batch

    def create_optimizer(self: Any, model: nn.Module | None = None) -> Optimizer:
        """Weights with `learning_rate`, scores with `scores_lr`, and the Pruner attached."""
        if self.optimizer is None:
            batch = self.get_total_train_batch_size(self.args)
            per_epoch = math.ceil(len(self.train_dataset) / batch)
            self.pruner = Pruner(self.model, self.policy, self.state.max_steps, per_epoch)
            groups = self.pruner.parameter_groups(
                self.args.learning_rate, self.scores_lr, self.args.weight_decay
            )
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = kind(groups, **options)
            self.pruner.attach(self.optimizer)
        return self.optimizer  # type: ignore[no-any-return]

    def create_scheduler(
        self: Any, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LambdaLR:
        """Linear warm-up and decay, with the warm-up of the pruning schedule."""
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, self.pruner.ramp.learning_rate
            )
        return self.lr_scheduler  # type: ignore[no-any-return]

    def _get_train_sampler(self: Any, *args: Any, **kwargs: Any) -> Any:
        sampler = super()._get_train_sampler(*args, **kwargs)  # type: ignore[misc]
        if not isinstance(sampler, LengthGroupedSampler):
            return sampler
        return EpochOrder(sampler, self.args.seed, lambda: int(self.state.epoch or 0))

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Train, and leave the model without the autocast that accelerate wraps around it."""
        try:
            return super().train(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            vars(self.model).pop("forward", None)

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        with self.lease.shared():
            loss: Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.state.global_step}: "
                "lower train.lr or train.scores_lr, or use train.precision=fp32"
            )
        return loss

    def evaluation_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        """With the masks that the finished network will have, at any moment of the training."""
        pruner = vars(self).get("pruner")
        with pruner.eval_masks() if pruner else nullcontext():
            return super().evaluation_loop(*args, **kwargs)  # type: ignore[misc]

    def compute_loss(
        self: Any,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        known = {n: v for n, v in inputs.items() if n not in NOT_INPUTS[:2]}
        outputs = model(**known)
        loss = outputs["loss"]
        if self.distillation is not None and model.training:
            loss = self.distillation.loss(outputs, inputs)
        return (loss, outputs) if return_outputs else loss

    def _save_optimizer_and_scheduler(self: Any, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]
        state = {name: tensor.contiguous() for name, tensor in self.pruner.state_dict().items()}
        save_file(state, Path(output_dir) / PRUNER_FILE)

    def _load_optimizer_and_scheduler(self: Any, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None:
            self.pruner.load_state_dict(load_file(Path(checkpoint) / PRUNER_FILE))


class SparseTrainer(SparseTrainerMixin, Trainer):  # type: ignore[misc]
    """`transformers.Trainer` with fine-pruning."""
