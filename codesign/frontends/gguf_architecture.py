"""What an architecture of GGUF files is: how metadata read as a family's configuration, and what tensors are called.

Tensor names are those of llama.cpp (`gguf-py/gguf/constants.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

from codesign.frontends.shape import Decoder, Names, Source
from codesign.weights import StoredTensor

Found: TypeAlias = Mapping[str, StoredTensor]
Stated: TypeAlias = str | Callable[[Decoder], float | None]


@dataclass(frozen=True)
class Key:
    """What a metadata key states: a `field` of the family's configuration, and `of` a decoder, a dotted path or a
    function; an empty path is of none, and not written.

    Where it is absent the value is `default`, or None for the family's own default.
    """

    field: str
    of: Stated
    kind: type[int] | type[float] | type[bool] = int
    default: float | None = None
    required: bool = False


@dataclass(frozen=True)
class Architecture:
    """How files of one architecture read.

    `model_type` names the family. `config` gives fields that no key states, from those read and the file's tensors.
    `change` makes the family's decoder the one that a GGUF file with these tensors holds. `names` gives tensors that
    are called otherwise than in most architectures.
    """

    model_type: str
    keys: Mapping[str, Key]
    config: Callable[[Mapping[str, object], Found], Mapping[str, object]] = lambda read, tensors: {}
    change: Callable[[Decoder, Found], Decoder] = lambda decoder, tensors: decoder
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
    "selection_bias": "blk.{}.exp_probs_b.bias",
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
            "shared_gate": "ffn_gate_shexp",
            "shared_up": "ffn_up_shexp",
            "shared_down": "ffn_down_shexp",
            "latent_query": "attn_q_a",
            "latent_query_norm": "attn_q_a_norm",
            "latent_norm": "attn_kv_a_norm",
            "expert_gate": "ffn_gate_exps",
            "expert_up": "ffn_up_exps",
            "expert_down": "ffn_down_exps",
        }.items()
    },
}
"""What most architectures call a decoder's parameters."""

SHAPE = {
    "block_count": Key("num_hidden_layers", "layers", required=True),
    "embedding_length": Key("hidden_size", "hidden", required=True),
    "feed_forward_length": Key("intermediate_size", "feed_forward", required=True),
    "attention.head_count": Key("num_attention_heads", "heads", required=True),
    "attention.head_count_kv": Key("num_key_value_heads", "kv_heads"),
    "context_length": Key("max_position_embeddings", "context", default=2048),
}
ROTARY = {"rope.freq_base": Key("rope_theta", "theta", float, default=10000.0)}
_HEAD_SIZE = {"attention.key_length": Key("head_dim", "head_size")}
LLAMA = {
    **SHAPE,
    **ROTARY,
    **_HEAD_SIZE,
    "attention.layer_norm_rms_epsilon": Key("rms_norm_eps", "epsilon", float, required=True),
}
WINDOW = {"attention.sliding_window": Key("sliding_window", "sliding.window")}
EXPERTS = {
    "expert_count": Key("num_local_experts", "experts.count", required=True),
    "expert_used_count": Key("num_experts_per_tok", "experts.chosen", required=True),
}
"""Keys that most architectures share."""


def without(keys: Mapping[str, Key], *names: str) -> dict[str, Key]:
    """The keys but those."""
    return {name: key for name, key in keys.items() if name not in names}


def renamed(keys: Mapping[str, Key], **names: str) -> dict[str, Key]:
    """The keys for a family whose fields have other names."""
    return {
        name: Key(names.get(key.field, key.field), key.of, key.kind, key.default, key.required)
        for name, key in keys.items()
    }


def leading_dense(decoder: Decoder) -> int:
    """The layers before the first with experts."""
    return next((layer for layer in range(decoder.layers) if not decoder.kind(layer).dense), decoder.layers)
