"""One tiny random network of every architecture that has a table, and what pruning it means."""

from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from prune.artifact import example, surgery
from prune.masks import structure

COMMON: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": False}
SEQ2SEQ = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "init_std": 0.2,
}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
      "decoder_start_token_id": 0, "initializer_factor": 0.4,
      "relative_attention_num_buckets": 8}  # fmt: skip
DEBERTA = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}


@dataclass(frozen=True)
class Network:
    """How to make it; `linears` pruned matrices and `scores` tensors of a hybrid policy."""

    family: str
    head: str
    linears: int
    scores: int
    changes: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=lambda: COMMON)

    def __call__(self, seed: int = 0) -> PreTrainedModel:
        torch.manual_seed(seed)
        config = getattr(transformers, f"{self.family}Config")(**{**self.common, **self.changes})
        model: PreTrainedModel = getattr(transformers, self.family + self.head)(config)
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | Conv1D):
                torch.nn.init.normal_(module.weight, std=0.2)
            if getattr(module, "bias", None) is not None:
                torch.nn.init.normal_(module.bias, std=0.2)  # zeros would hide mistakes
        for name, parameter in model.named_parameters():
            if name.endswith("relative_attention_bias.weight"):
                torch.nn.init.normal_(parameter)
        return model.eval()


QA, CLASSES, LM = "ForQuestionAnswering", "ForSequenceClassification", "ForCausalLM"
SMALL = {k: v for k, v in COMMON.items() if k.endswith("_id") or k == "vocab_size"}
NETWORKS: dict[str, Network] = {
    "bert": Network("Bert", QA, 12, 10),
    "bare": Network("Bert", "Model", 12, 10),
    "bert decoder": Network(
        "Bert", "LMHeadModel", 20, 18, {"is_decoder": True, "add_cross_attention": True}
    ),
    "roberta": Network("Roberta", QA, 12, 10),
    "xlm-roberta": Network("XLMRoberta", CLASSES, 12, 10),
    "camembert": Network("Camembert", QA, 12, 10),
    "electra": Network("Electra", QA, 12, 10, {"embedding_size": 16}),
    "mpnet": Network("MPNet", QA, 12, 10),
    "distilbert": Network(
        "DistilBert", QA, 12, 10,
        {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48, "initializer_range": 0.2},
        SMALL,
    ),
    "albert": Network("Albert", QA, 6, 5, {"embedding_size": 16}),
    "deberta-v2": Network("DebertaV2", QA, 12, 10, DEBERTA),
    "deberta-v2 shared": Network("DebertaV2", QA, 12, 10, {**DEBERTA, "share_att_key": True}),
    "vit": Network(
        "ViT", "ForImageClassification", 12, 10, {"image_size": 8, "patch_size": 4, "num_labels": 3}
    ),
    "vit without biases": Network(
        "ViT", "ForImageClassification", 12, 10,
        {"image_size": 8, "patch_size": 4, "qkv_bias": False},
    ),
    "bart": Network("Bart", QA, 22, 19, SEQ2SEQ, SMALL),
    "bart classes": Network("Bart", CLASSES, 22, 19, SEQ2SEQ, SMALL),
    "bart lm": Network("Bart", "ForConditionalGeneration", 22, 19, SEQ2SEQ, SMALL),
    "t5": Network("T5", "ForConditionalGeneration", 32, 28, T5, SMALL),
    "t5 gated": Network(
        "T5", "ForConditionalGeneration", 36, 28,
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, SMALL,
    ),
    "t5 encoder": Network("T5", "EncoderModel", 12, 10, T5, SMALL),
    "gpt2": Network(
        "GPT2", "LMHeadModel", 8, 6,
        {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_inner": 48, "n_positions": 40,
         "initializer_range": 0.2}, SMALL,
    ),
    "gpt2 cross": Network(
        "GPT2", "LMHeadModel", 14, 12,
        {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_inner": 48, "n_positions": 40,
         "initializer_range": 0.2, "add_cross_attention": True}, SMALL,
    ),
    "llama": Network("Llama", LM, 14, 10, {**GROUPED, "attention_bias": True, "mlp_bias": True}),
    "mistral": Network("Mistral", LM, 14, 10, GROUPED),
    "qwen2": Network("Qwen2", LM, 14, 10, GROUPED),
    "qwen3": Network("Qwen3", LM, 14, 10, {**GROUPED, "head_dim": 16}),
    "gemma": Network("Gemma", LM, 14, 10, GROUPED),
    "gemma2": Network("Gemma2", LM, 14, 10, GROUPED),
    "modernbert": Network(
        "ModernBert", CLASSES, 8, 6,
        {"local_attention": 8, "mlp_bias": True, "attention_bias": True, "cls_token_id": 3,
         "sep_token_id": 4, "tie_word_embeddings": False},
    ),
}  # fmt: skip


def inputs(model: PreTrainedModel, padding: int = 3) -> dict[str, torch.Tensor]:
    """What the network takes, with padding at the end of the second row of ten tokens."""
    found = example.inputs(model, rows=2, length=10)
    if "attention_mask" in found:
        found["attention_mask"][1, 10 - padding :] = 0
    return found


def kill(model: PreTrainedModel, seed: int, density: float) -> None:
    """Zero random heads and neurons of each matrix on its own; biases stay alive."""
    generator = torch.Generator().manual_seed(seed)

    def alive(count: int, size: int = 1) -> torch.Tensor:
        return (torch.rand(count // size, generator=generator) < density).repeat_interleave(size)

    found = structure.read(model)
    with torch.no_grad():
        for layer in (*found.attention, *found.ffn):
            size = getattr(layer, "head_size", 1)
            for name in dict.fromkeys(layer.rows):
                weight = surgery.matrix(model.get_submodule(name))
                weight *= alive(len(weight), size)[:, None]
            outer = layer.output if isinstance(layer, structure.Attention) else layer.outer
            weight = surgery.matrix(model.get_submodule(outer))
            weight *= alive(weight.shape[1], size)


def scatter(model: PreTrainedModel, seed: int, density: float) -> None:
    """Zero each matrix by a mask of a random kind; its bias lives on, or dies with its rows.

    The kinds: single weights, blocks, rows, columns, heads, nothing and all.
    """
    draw = torch.Generator().manual_seed(seed)

    def choice(count: int) -> int:
        return int(torch.randint(count, (), generator=draw))

    kinds = [(1, 1), (4, 4), (1, 0), (0, 1), (8, 0), (0, 8), (1, 0), (0, 1)]  # 0: all there are
    for name in structure.read(model).matrices():
        module = model.get_submodule(name)
        weight = surgery.matrix(module).detach()
        rows, columns = weight.shape
        kind = choice(len(kinds) + 2)
        height, width = kinds[kind] if kind < len(kinds) else (rows, columns)
        height, width = height or rows, width or columns
        live = torch.rand(-(-rows // height), -(-columns // width), generator=draw) < density
        live = live.repeat_interleave(height, 0)[:rows].repeat_interleave(width, 1)[:, :columns]
        weight.mul_(live)
        if module.bias is not None and choice(2):
            module.bias.detach().mul_(live.any(1))
