"""How it learns: the Trainer, distillation and the teacher's logits."""
