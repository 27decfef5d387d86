"""The trainer of one phase of a run, with all that follows it and steers it."""

from transformers import PreTrainedModel, PrinterCallback

from prune.aiming import goal_of
from prune.forks import Forks, places
from prune.further import further
from prune.masks.policy import Policy
from prune.narrator import Watch
from prune.narrowing import Narrowing
from prune.training.arguments import arguments
from prune.training.checkpoints import Checkpoints
from prune.training.resumable import RunTrainer
from prune.training.swaps import Anneal
from prune.training.target import Steering
from prune.work import Work, training_steps


def trainer_of(
    work: Work, phase: str, model: PreTrainedModel, policy: Policy, epochs: float, lr: float
) -> RunTrainer:
    """phase: "train", or another name, under which its checkpoints are kept."""
    config, folder = work.config, work.folder
    ramp = policy.schedule.fit(*training_steps(config, len(work.task.train), epochs))
    trainer = RunTrainer(
        model=model,
        args=arguments(config, folder.path / "trainer", ramp.total, lr),
        train_dataset=work.task.train,
        data_collator=work.task.collate,
        policy=policy,
        distillation=work.distillation,
        scores_lr=config.train.scores_lr,
        lease=work.lease,
        checkpoints=Checkpoints(folder.checkpoints / phase),
        clock=folder.elapsed,
        warn=work.narrator.say,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(folder, trainer, work.steps))
    trainer.add_callback(Anneal(work.swaps, config.swap.ratio))
    goal = goal_of(further(config, work.left), policy, model, work.dense, work.lease)
    work.goal = goal or work.goal
    if goal:
        trainer.add_callback(Steering(trainer, goal))
        trainer.companions += [goal.measured] if goal.measured else []
    if phase == "train" and config.shrink.in_training:
        narrowing = Narrowing(trainer, model, config.shrink, work.narrator.say, goal)
        trainer.companions.append(narrowing)
        trainer.add_callback(narrowing)
    if phase == "train" and config.train.targets:
        density = (config.target.density or 1.0) / work.left  # of top-k
        share = goal.share if goal else density
        trainer.add_callback(Forks(trainer, places(folder.checkpoints, config, ramp, share)))
    return trainer
