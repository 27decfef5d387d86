"""The scores and masks of one model, applied between optimizer steps.

The model is never touched: what stands in it is already W' = M(S) * W, so forward, backward,
evaluation and saving all see an ordinary dense model. Before an optimizer step the gradients with
respect to W' are turned into those of W and S (straight-through), and W goes back in place; after
the step the new masks are made and W' stands there again. The mathematics is that of masked layers;
the work is one pass over the prunable weights a step, however many micro-batches it has.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from prune.errors import PolicyError, TrainingError
from prune.kernels.later import Later
from prune.masks.groups import OFF, Tie
from prune.masks.policy import Policy, Rule, Site, resolve
from prune.masks.refusals import refuse_sharded, refuse_step
from prune.masks.remask import mask_together
from prune.masks.schedule import Ramp
from prune.masks.slots import Slot, build


class Pruner:
    """Fine-prunes `model` over `steps` optimizer steps by `policy`.

    `attach(optimizer)` is all a training loop needs; `parameter_groups` gives the optimizer the
    model's weights and the scores with a learning rate of their own. `finish()` leaves the model
    with the final masks applied, ready for `prune.shrink`. A list of rules is a policy too.

    Between the steps the model holds the masks of training. Those of `l0` are random and those of
    `ampere` soft: evaluate them inside `with pruner.eval_masks():`; it changes nothing for others.

    Raises PolicyError if the policy does not fit the model, ConfigError if the schedule does not
    fit the steps. References: Sanh et al. 2020 (arXiv:2005.07683), Lagunas et al. 2021
    (arXiv:2109.04838).
    """

    def __init__(
        self,
        model: nn.Module,
        policy: Policy | Sequence[Rule],
        steps: int,
        steps_per_epoch: float | None = None,
    ) -> None:
        self.model = model
        self.policy = policy if isinstance(policy, Policy) else Policy(rules=list(policy))
        self.seed = self.policy.seed
        self.ramp: Ramp = self.policy.schedule.fit(steps, steps_per_epoch)
        self.step = 0
        self.dial = OFF  # see Tie.set; `prune.training.target` turns it
        self.sites: list[Site] = resolve(model, self.policy)
        self.slots: list[Slot]
        self.ties: list[Tie]
        self.slots, self.ties = build(model, self.sites)
        self.prunable = sum(slot.full.numel() for slot in self.slots)  # weights, at first
        self._penalised = Counter(t.part for t in self.learned() if t.algorithm.penalised)
        self._hooks: list[Any] = []
        refuse_sharded(self.slots)
        self.apply()

    # -- what a training loop calls ------------------------------------------------------------

    def attach(self, optimizer: torch.optim.Optimizer) -> "Pruner":
        """Hang on the optimizer: every `optimizer.step()` from now on is a pruning step."""
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [tie.name for tie in self.learned() if id(tie.scores) not in known]
        if missing:
            raise TrainingError(
                f"the optimizer does not train the scores of {missing[0]}: "
                "build it from pruner.parameter_groups(...)"
            )
        self._hooks = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]
        return self

    def parameter_groups(
        self, lr: float, scores_lr: float, weight_decay: float = 0.0
    ) -> list[dict[str, Any]]:
        """Optimizer groups: decayed weights, biases and norms, and the scores (never decayed)."""
        named = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        decayed = [p for _, p in named if p.ndim > 1]
        plain = [p for _, p in named if p.ndim <= 1]
        groups = [
            {"params": decayed, "lr": lr, "weight_decay": weight_decay},
            {"params": plain, "lr": lr, "weight_decay": 0.0},
            {"params": self.scores(), "lr": scores_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def finish(self) -> None:
        """Let go of the optimizer and leave the model with the masks of the end of the ramp."""
        self.detach()
        self.step = self.ramp.total
        self.apply(evaluation=True)

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @contextmanager
    def eval_masks(self) -> Iterator[nn.Module]:
        """The model with its masks as they are evaluated and shipped; afterwards as it was.

        Between two steps only: gradients that are there belong to the masks of training.
        """
        soft = {id(tie) for tie in self.ties if tie.algorithm.soft}
        before = {id(tie): tie.kept for tie in self.ties}
        slots = [slot for slot in self.slots if any(id(cut.tie) in soft for cut in slot.cuts)]
        try:
            for tie in self.ties:
                tie.mask = tie.evaluated()
            self._put_masked(slots)
            yield self.model
        finally:
            for tie in self.ties:
                tie.kept = before[id(tie)]
            self._put_masked(slots)

    # -- what one may ask ------------------------------------------------------------------------

    def learned(self) -> Iterator[Tie]:
        return (tie for tie in self.ties if tie.scores is not None)

    def scores(self) -> list[nn.Parameter]:
        return [tie.scores for tie in self.learned() if tie.scores is not None]

    def masks(self) -> dict[str, Tensor]:
        """Module name -> mask (out, in), as it stands in the model."""
        return {slot.name: slot.full_mask() for slot in self.slots}

    def density(self) -> float:
        """Live share of the prunable weights, in [0, 1], by the masks as they are evaluated."""
        live = sum(slot.live_weights() for slot in self.slots)
        return float(live / self.prunable) if self.prunable else 1.0

    def penalty(self) -> float:
        """lambda(t) * sum over parts of weight / parts * mean over its score tensors of r(S)."""
        return sum(
            self._penalty_factor(tie) * tie.present * tie.algorithm.penalty(scores).item()
            for tie, scores in zip(self.learned(), self.scores(), strict=True)
            if scores.numel()
        )

    # -- between the steps -----------------------------------------------------------------------

    @torch.no_grad()
    def apply(self, evaluation: bool = False) -> None:
        """Make the masks of the current step, those of training or not; put W' = M * W in place."""
        self.remask(evaluation)
        self._put_masked(self.slots)

    @torch.no_grad()
    def remask(self, evaluation: bool) -> None:
        """The first half of `apply`: the masks alone."""
        for number, tie in enumerate(self.ties):
            tie.set(self.ramp, self.step, self.dial)
            tie.key = (self.seed, self.step, number)
        for pool in self._pools():
            mask_together(pool, evaluation)

    @torch.no_grad()
    def _put_masked(self, slots: list[Slot]) -> None:
        later = Later()
        for slot in slots:
            slot.put_masked(later)
        later.make()
        for tie in self.ties:
            tie.pack()

    @torch.no_grad()
    def restore(self) -> None:
        """Put the full weights back: the inverse of `apply`."""
        for slot in self.slots:
            slot.put_full()

    @torch.no_grad()
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        refuse_step(optimizer, args, kwargs)
        for tie in self.learned():
            tie.pressure = self._penalty_factor(tie)
        later = Later()
        for slot in self.slots:
            slot.pull_gradient(later)
        later.make()
        self.restore()
        for tie in self.learned():
            tie.push_gradient()

    @torch.no_grad()
    def _after(self, *_: Any) -> None:
        self.step += 1
        for slot in self.slots:
            slot.keep_full()
        for tie in self.learned():
            tie.clear_gradient()
        self.apply()

    def _penalty_factor(self, tie: Tie) -> float:
        if not tie.algorithm.penalised:
            return 0.0
        weight = tie.weight / len(self._penalised) / self._penalised[tie.part]
        return self.policy.penalty * self.ramp.progress(self.step) * weight

    def _pools(self) -> list[list[Tie]]:
        pools: dict[object, list[Tie]] = {}
        for tie in self.ties:
            pools.setdefault(tie.pool, []).append(tie)
        return list(pools.values())

    # -- resume ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Full weights, scores, step and seed: with the optimizer's, all that a resume needs."""
        state = {"step": torch.tensor(self.step), "seed": torch.tensor(self.seed)}
        state["dial"] = torch.tensor(self.dial, dtype=torch.float64)
        for slot in self.slots:
            state[f"full.{slot.name}"] = slot.full
            if slot.full_bias is not None:
                state[f"bias.{slot.name}"] = slot.full_bias
        for tie in self.ties:
            if tie.scores is not None:
                state[f"scores.{tie.name}"] = tie.scores.detach()
            if any(tie.gone):
                state[f"gone.{tie.name}"] = torch.tensor(tie.gone)
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`. Raises PolicyError if it is of another model or policy."""
        if wrong := set(state) ^ set(self.state_dict()):
            raise PolicyError(f"the saved pruner is of another model or policy: {min(wrong)}")
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])
        self.step, self.seed = int(state["step"]), int(state["seed"])
        self.dial = float(state["dial"])
        for tie in self.ties:
            dead, live = state.get(f"gone.{tie.name}", torch.zeros(2)).tolist()
            tie.gone = int(dead), int(live)
        self.apply()
