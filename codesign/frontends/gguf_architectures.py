"""The architectures of GGUF files, as data: how metadata read as a family's configuration, and what tensors are called.

Keys, tensor names and defaults are those of llama.cpp (`gguf-py/gguf/constants.py`, `src/llama-model.cpp`); what its
converter makes of values (`convert_hf_to_gguf.py`) is `changes` here: rows of query and key permuted so that neighbors
make a rotary pair, norm weights stored as what they multiply by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from codesign.frontends.shape import Decoder, Names, Source
from codesign.weights import StoredTensor
from codesign_dialects.transformer.view import View

Found = Mapping[str, StoredTensor]


@dataclass(frozen=True)
class Key:
    """What a metadata key states: a `field` of the family's configuration, and `of` a decoder, a dotted path.

    Where it is absent the value is `default`, or None for the family's own default.
    """

    field: str
    of: str
    kind: type[int] | type[float] | type[bool] = int
    default: float | None = None
    required: bool = False


@dataclass(frozen=True)
class Architecture:
    """How files of one architecture read.

    `model_type` names the family. `config` gives fields that no key states, from those read and the file's tensors.
    `changes` are attributes of the decoder that differ in a GGUF file. `names` gives tensors that are called otherwise
    than in most architectures.
    """

    model_type: str
    keys: Mapping[str, Key]
    config: Callable[[Mapping[str, object], Found], Mapping[str, object]] = lambda read, tensors: {}
    changes: Mapping[str, object] = field(default_factory=dict[str, object])
    names: Callable[[Decoder, Found | None], Mapping[str, str | Source]] = lambda decoder, tensors: {}

    def tensor_names(self, decoder: Decoder, family: Names, tensors: Found | None) -> Names:
        """What such a file calls the parameters that the `family` has."""
        known = {**TENSORS, **self.names(decoder, tensors)}
        return Names(**{one.name: known[one.name] if family.has(one.name) else None for one in fields(Names)})  # pyright: ignore[reportArgumentType]


TENSORS: Mapping[str, str | Source] = {
    "embedding": "token_embd.weight",
    "positions": "position_embd.weight",
    "norm": "output_norm.weight",
    "head": "output.weight",
    **{
        name: f"blk.{{}}.{tensor}.weight"
        for name, tensor in {
            "attention_norm": "attn_norm",
            "query": "attn_q",
            "key": "attn_k",
            "value": "attn_v",
            "output": "attn_output",
            "query_norm": "attn_q_norm",
            "key_norm": "attn_k_norm",
            "sinks": "attn_sinks",
            "attention_inner_norm": "attn_sub_norm",
            "attention_post_norm": "post_attention_norm",
            "feed_forward_norm": "ffn_norm",
            "gate": "ffn_gate",
            "up": "ffn_up",
            "down": "ffn_down",
            "feed_forward_inner_norm": "ffn_sub_norm",
            "feed_forward_post_norm": "post_ffw_norm",
            "router": "ffn_gate_inp",
            "expert_gate": "ffn_gate_exps",
            "expert_up": "ffn_up_exps",
            "expert_down": "ffn_down_exps",
        }.items()
    },
}
"""What most architectures call a decoder's parameters."""

_SHAPE = {
    "block_count": Key("num_hidden_layers", "layers", required=True),
    "embedding_length": Key("hidden_size", "hidden", required=True),
    "feed_forward_length": Key("intermediate_size", "feed_forward", required=True),
    "attention.head_count": Key("num_attention_heads", "heads", required=True),
    "attention.head_count_kv": Key("num_key_value_heads", "kv_heads"),
    "context_length": Key("max_position_embeddings", "context", default=2048),
}
_ROTARY = {"rope.freq_base": Key("rope_theta", "theta", float, default=10000.0)}
_HEAD_SIZE = {"attention.key_length": Key("head_dim", "head_size")}
_LLAMA = {
    **_SHAPE,
    **_ROTARY,
    **_HEAD_SIZE,
    "attention.layer_norm_rms_epsilon": Key("rms_norm_eps", "epsilon", float, required=True),
}
_WINDOW = {"attention.sliding_window": Key("sliding_window", "sliding.window")}
_EXPERTS = {
    "expert_count": Key("num_local_experts", "experts.count", required=True),
    "expert_used_count": Key("num_experts_per_tok", "experts.chosen", required=True),
}
_SOFTCAPS = {
    "attn_logit_softcapping": Key("attn_logit_softcapping", "attention_softcap", float, default=50.0),
    "final_logit_softcapping": Key("final_logit_softcapping", "logit_softcap", float, default=30.0),
}
_PAIRS = {"rotary_style": "interleaved"}
_WHOLE_NORMS = {"norm_offset": 0.0}


def _without(keys: Mapping[str, Key], *names: str) -> dict[str, Key]:
    return {name: key for name, key in keys.items() if name not in names}


def _renamed(keys: Mapping[str, Key], **names: str) -> dict[str, Key]:
    """The keys for a family whose fields have other names."""
    return {
        name: Key(names.get(key.field, key.field), key.of, key.kind, key.default, key.required)
        for name, key in keys.items()
    }


def _layer_norm(field: str) -> dict[str, Key]:
    return {"attention.layer_norm_epsilon": Key(field, "epsilon", float, required=True)}


def _biases(read: Mapping[str, object], tensors: Found) -> Mapping[str, object]:
    """Llama's optional biases, which no key states."""
    return {"attention_bias": "blk.0.attn_output.bias" in tensors, "mlp_bias": "blk.0.ffn_down.bias" in tensors}


def _scored_by(read: Mapping[str, object], largest: int) -> Mapping[str, object]:
    """Gemma's scores are scaled by its head size, in the largest model, known by its layers, by hidden size over heads
    (`src/llama-model.cpp`, `f_attention_scale`)."""
    hidden, heads = read["hidden_size"], read["num_attention_heads"]
    assert isinstance(hidden, int) and isinstance(heads, int)
    share = hidden // max(heads, 1)
    return {"query_pre_attn_scalar": share if read["num_hidden_layers"] == largest else read["head_dim"]}


def _falcon(read: Mapping[str, object], tensors: Found) -> Mapping[str, object]:
    return {
        "new_decoder_architecture": True,
        "num_kv_heads": read.get("num_kv_heads", read["num_attention_heads"]),
        "num_ln_in_parallel_attn": 2 if "blk.0.attn_norm_2.weight" in tensors else 1,
        "bias": "blk.0.attn_qkv.bias" in tensors,
    }


def _falcon_names(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    joint = _joint_attention(decoder, tensors)
    if "feed_forward_norm" not in decoder.biases:
        return joint
    return {**joint, "attention_norm": "blk.{}.attn_norm_2.weight", "feed_forward_norm": "blk.{}.attn_norm.weight"}


def _joint_attention(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Queries, keys and values in one matrix, in this order."""
    q, kv = decoder.heads * decoder.head_size, decoder.kv_heads * decoder.head_size
    joint = "blk.{}.attn_qkv.weight"
    return {
        "query": Source(joint, View(first=0, count=q)),
        "key": Source(joint, View(first=q, count=kv)),
        "value": Source(joint, View(first=q + kv, count=kv)),
    }


def _joint(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Phi-3: the gate stands above the rows of `up`, too."""
    up, width = "blk.{}.ffn_up.weight", decoder.feed_forward
    return {
        **_joint_attention(decoder, tensors),
        "gate": Source(up, View(first=0, count=width)),
        "up": Source(up, View(first=width, count=width)),
    }


def _mixtral_names(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Files from before 2024-04 have a tensor for each expert."""
    if tensors is None or "blk.0.ffn_gate.0.weight" not in tensors:
        return {}
    return {f"expert_{part}": f"blk.{{}}.ffn_{part}.{{expert}}.weight" for part in ("gate", "up", "down")}


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", _LLAMA, _biases, _PAIRS),
    "qwen2": Architecture("qwen2", _without(_LLAMA, "attention.key_length")),
    "qwen3": Architecture("qwen3", _LLAMA),
    "qwen3moe": Architecture(
        "qwen3_moe",
        {**_LLAMA, **_EXPERTS, "expert_feed_forward_length": Key("moe_intermediate_size", "experts.feed_forward")},
        lambda read, tensors: {"norm_topk_prob": True},
    ),
    "gemma": Architecture("gemma", _LLAMA, changes=_WHOLE_NORMS),
    "gemma2": Architecture(
        "gemma2",
        {**_LLAMA, **_SOFTCAPS, **_WINDOW},
        lambda read, tensors: _scored_by(read, largest=46),
        _WHOLE_NORMS,
    ),
    "gemma3": Architecture(
        "gemma3_text",
        {
            **_LLAMA,
            **_WINDOW,
            "rope.freq_base": Key("rope_theta", "theta", float, default=1e6),
            "rope.freq_base_swa": Key("rope_local_base_freq", "sliding.theta", float),
        },
        lambda read, tensors: _scored_by(read, largest=62),
        _WHOLE_NORMS,
    ),
    "phi3": Architecture("phi3", {**_without(_LLAMA, "attention.key_length"), **_WINDOW}, names=_joint),
    "gpt2": Architecture(
        "gpt2",
        {
            **_renamed(
                _without(_SHAPE, "attention.head_count_kv"),
                num_hidden_layers="n_layer",
                hidden_size="n_embd",
                intermediate_size="n_inner",
                num_attention_heads="n_head",
                max_position_embeddings="n_positions",
            ),
            **_layer_norm("layer_norm_epsilon"),
        },
        names=_joint_attention,
    ),
    "gptneox": Architecture(
        "gpt_neox",
        {
            **_without(_SHAPE, "attention.head_count_kv"),
            **_ROTARY,
            **_layer_norm("layer_norm_eps"),
            "use_parallel_residual": Key("use_parallel_residual", "parallel", bool, required=True),
        },
        names=_joint_attention,
    ),
    "falcon": Architecture(
        "falcon",
        {
            **_renamed(_SHAPE, intermediate_size="ffn_hidden_size", num_key_value_heads="num_kv_heads"),
            **_ROTARY,
            **_layer_norm("layer_norm_epsilon"),
        },
        _falcon,
        names=_falcon_names,
    ),
    "starcoder2": Architecture("starcoder2", {**_SHAPE, **_ROTARY, **_layer_norm("norm_epsilon")}),
    "olmo2": Architecture("olmo2", _without(_LLAMA, "attention.key_length")),
    "smollm3": Architecture("smollm3", _without(_LLAMA, "attention.key_length"), changes=_PAIRS),
    "gpt-oss": Architecture(
        "gpt_oss",
        {
            **_without(_LLAMA, "feed_forward_length"),
            "expert_feed_forward_length": Key("intermediate_size", "experts.feed_forward", required=True),
            **_EXPERTS,
            **_WINDOW,
        },
        names=lambda decoder, tensors: {"feed_forward_norm": "blk.{}.post_attention_norm.weight"},
    ),
}
"""By ``general.architecture``."""

SCALING = {
    "rope.scaling.factor": Key("factor", "factor", float, required=True),
    "rope.scaling.original_context_length": Key("original_max_position_embeddings", "original"),
}
"""What states a rotary scaling, which its keys are `of`."""

ROTARY_FACTORS = "rope_freqs.weight"

_MIXTRAL = Architecture("mixtral", {**_LLAMA, **_EXPERTS}, changes=_PAIRS, names=_mixtral_names)


def architecture_of(name: str, experts: bool) -> Architecture | None:
    """The architecture called `name`, which for mixtures of Llama's kind is Mixtral's; None where it is not known."""
    return _MIXTRAL if name == "llama" and experts else ARCHITECTURES.get(name)


def architectures_of(model_type: str) -> list[tuple[str, Architecture]]:
    """The architectures, by their names in files, that hold models of a family."""
    if model_type == "mixtral":
        return [("llama", _MIXTRAL)]
    # Without a window Mistral is Llama.
    wanted = {"mistral": "llama"}.get(model_type, model_type)
    return [(name, one) for name, one in ARCHITECTURES.items() if one.model_type == wanted]
