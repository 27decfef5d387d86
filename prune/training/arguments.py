"""The settings that the Hugging Face Trainer gets from a run."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from prune.config import RunConfig


def arguments(config: RunConfig, folder: Path, steps: int, lr: float) -> TrainingArguments:
    """For `steps` optimizer steps; `folder` is where the Trainer would write if asked to."""
    train = config.train
    return TrainingArguments(
        output_dir=str(folder),
        seed=config.seed,
        max_steps=steps,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.accumulation,
        learning_rate=lr,
        weight_decay=train.weight_decay,
        max_grad_norm=train.clip,
        bf16=train.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if train.group_by_length else "random",
        logging_steps=train.log_steps,
        remove_unused_columns=False,
        disable_tqdm=True,
        save_strategy="no",
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
