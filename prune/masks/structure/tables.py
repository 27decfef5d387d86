"""Where each architecture keeps its layers: data, and nothing else.

To add an architecture, write its Table and put it into TABLES under its `model_type`.
"""

from prune.masks.structure.table import AttentionTable, FfnTable, Table

BERT_FFN = FfnTable(
    r"(?:.*\.)?encoder\.layer\.\d+",
    inner="intermediate.dense",
    outer="output.dense",
    activation="intermediate.intermediate_act_fn",
)

BERT = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?encoder\.layer\.\d+\.(?:cross)?attention",
            query="self.query",
            key="self.key",
            value="self.value",
            output="output.dense",
            core="self",
        ),
    ),
    ffn=(BERT_FFN,),
)

MPNET = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?encoder\.layer\.\d+\.attention\.attn",
            query="q",
            key="k",
            value="v",
            output="o",
            unit_counts=("all_head_size",),
            position="given",
        ),
    ),
    ffn=(BERT_FFN,),
)

DEBERTA_V2 = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?encoder\.layer\.\d+\.attention",
            query="self.query_proj",
            key="self.key_proj",
            value="self.value_proj",
            output="output.dense",
            core="self",
            followers=("self.pos_key_proj", "self.pos_query_proj"),
            head_counts=("num_attention_heads",),
        ),
    ),
    ffn=(BERT_FFN,),
)

DISTILBERT = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?transformer\.layer\.\d+\.attention",
            query="q_lin",
            key="k_lin",
            value="v_lin",
            output="out_lin",
        ),
    ),
    ffn=(
        FfnTable(
            r"(?:.*\.)?transformer\.layer\.\d+\.ffn",
            inner="lin1",
            outer="lin2",
            activation="activation",
        ),
    ),
)

ALBERT_LAYER = r"(?:.*\.)?encoder\.albert_layer_groups\.\d+\.albert_layers\.\d+"
ALBERT = Table(
    attention=(
        AttentionTable(
            ALBERT_LAYER + r"\.attention",
            query="query",
            key="key",
            value="value",
            output="dense",
            norm="LayerNorm",
        ),
    ),
    ffn=(FfnTable(ALBERT_LAYER, inner="ffn", outer="ffn_output", activation="activation"),),
)

VIT = Table(
    attention=(AttentionTable(r"(?:.*\.)?layers\.\d+\.attention", output="o_proj"),),
    ffn=(
        FfnTable(
            r"(?:.*\.)?layers\.\d+\.mlp", inner="fc1", outer="fc2", activation="activation_fn"
        ),
    ),
)

BART = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?encoder\.layers\.\d+\.self_attn",
            output="out_proj",
            heads="encoder_attention_heads",
        ),
        AttentionTable(
            r"(?:.*\.)?decoder\.layers\.\d+\.(?:self|encoder)_attn",
            output="out_proj",
            heads="decoder_attention_heads",
            part="decoder_attention",
        ),
    ),
    ffn=(
        FfnTable(
            r"(?:.*\.)?encoder\.layers\.\d+", inner="fc1", outer="fc2", activation="activation_fn"
        ),
        FfnTable(
            r"(?:.*\.)?decoder\.layers\.\d+",
            inner="fc1",
            outer="fc2",
            activation="activation_fn",
            part="decoder_ffn",
        ),
    ),
)


def _t5_attention(pattern: str, part: str, position: str) -> AttentionTable:
    return AttentionTable(
        pattern,
        query="q",
        key="k",
        value="v",
        output="o",
        part=part,
        head_counts=("n_heads",),
        position=position,
        results=3,
    )


def _t5_ffn(pattern: str, part: str, inner: str, gate: str = "") -> FfnTable:
    return FfnTable(pattern, inner=inner, outer="wo", activation="act", gate=gate, part=part)


T5_ENCODER, T5_DECODER = r"(?:.*\.)?encoder\.block\.\d+", r"(?:.*\.)?decoder\.block\.\d+"
T5 = Table(
    attention=(
        _t5_attention(T5_ENCODER + r"\.layer\.0\.SelfAttention", "attention", "table"),
        _t5_attention(T5_DECODER + r"\.layer\.0\.SelfAttention", "decoder_attention", "table"),
        _t5_attention(T5_DECODER + r"\.layer\.1\.EncDecAttention", "decoder_attention", "none"),
    ),
    ffn=(
        _t5_ffn(T5_ENCODER + r"\.layer\.1\.DenseReluDense", "ffn", "wi"),
        _t5_ffn(T5_ENCODER + r"\.layer\.1\.DenseReluDense", "ffn", "wi_1", "wi_0"),
        _t5_ffn(T5_DECODER + r"\.layer\.2\.DenseReluDense", "decoder_ffn", "wi"),
        _t5_ffn(T5_DECODER + r"\.layer\.2\.DenseReluDense", "decoder_ffn", "wi_1", "wi_0"),
    ),
)

GPT2 = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?h\.\d+\.attn",
            query="c_attn",
            key="c_attn",
            value="c_attn",
            output="c_proj",
            unit_counts=("split_size",),
        ),
        AttentionTable(
            r"(?:.*\.)?h\.\d+\.crossattention",
            query="q_attn",
            key="c_attn",
            value="c_attn",
            output="c_proj",
            unit_counts=("split_size",),
        ),
    ),
    ffn=(FfnTable(r"(?:.*\.)?h\.\d+\.mlp", inner="c_fc", outer="c_proj", activation="act"),),
)

LLAMA = Table(
    attention=(AttentionTable(r"(?:.*\.)?layers\.\d+\.self_attn", output="o_proj"),),
    ffn=(
        FfnTable(
            r"(?:.*\.)?layers\.\d+\.mlp",
            inner="up_proj",
            outer="down_proj",
            activation="act_fn",
            gate="gate_proj",
        ),
    ),
)

MODERNBERT = Table(
    attention=(
        AttentionTable(
            r"(?:.*\.)?layers\.\d+\.attn", query="Wqkv", key="Wqkv", value="Wqkv", output="Wo"
        ),
    ),
    ffn=(
        FfnTable(r"(?:.*\.)?layers\.\d+\.mlp", inner="Wi", outer="Wo", activation="act", gate="Wi"),
    ),
)

TABLES: dict[str, Table] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "electra": BERT,
    "mpnet": MPNET,
    "distilbert": DISTILBERT,
    "albert": ALBERT,
    "deberta-v2": DEBERTA_V2,
    "vit": VIT,
    "bart": BART,
    "t5": T5,
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "modernbert": MODERNBERT,
}
