"""Falcon (Almazrouei et al., 2023): 7B with one KV head and one LayerNorm, 40B and 180B with several of both."""

from dataclasses import replace

from codesign.errors import CodesignError
from codesign.frontends.family import ACTIVATIONS, DecoderFamily, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Names, Source
from codesign_dialects.transformer.view import View

_BIASES = frozenset(("query", "key", "value", "output", "up", "down"))


def _decoder(fields: Fields) -> Decoder:
    fields.expect("alibi", False)
    # What the first configurations say besides.
    fields.expect("apply_residual_connection_post_layernorm", False)
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    if heads < 1 or hidden % heads:
        raise CodesignError(f"{fields.where}: hidden_size {hidden} does not divide into num_attention_heads {heads}")
    grouped, single = fields.flag("new_decoder_architecture", False), fields.flag("multi_query", True)
    kv_heads = fields.integer("num_kv_heads", heads)
    theta, scaling = rotary(fields)
    parallel = fields.flag("parallel_attn", True)
    if grouped and not parallel:
        raise CodesignError(f"{fields.where}: parallel_attn false with new_decoder_architecture is not supported")
    biases = {"norm", "attention_norm"}
    if not parallel or _own_norm(fields, grouped):
        biases.add("feed_forward_norm")
    return Decoder(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        layers=fields.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads if grouped else 1 if single else heads,
        head_size=hidden // heads,
        feed_forward=fields.integer("ffn_hidden_size", 4 * hidden),
        context=fields.integer("max_position_embeddings", 2048),
        epsilon=fields.number("layer_norm_epsilon", 1e-5),
        theta=theta,
        activation=fields.choose("activation", ACTIVATIONS, "gelu"),
        rotary_scaling=scaling,
        tied=fields.flag("tie_word_embeddings", True),
        layer_norm=True,
        biases=frozenset(biases) | (_BIASES if fields.flag("bias", False) else frozenset[str]()),
        parallel=parallel,
    )


def _own_norm(fields: Fields, grouped: bool) -> bool:
    """Whether the feed-forward of a parallel block has a norm of its own."""
    count = fields.integer("num_ln_in_parallel_attn", 2 if grouped else 1)
    if count not in (1, 2) or (count == 2 and not grouped):
        raise CodesignError(f"{fields.where}: num_ln_in_parallel_attn {count} is not supported; supported: 1, 2")
    return count == 2


def _names(decoder: Decoder) -> Names:
    size, group = decoder.head_size, decoder.heads // decoder.kv_heads

    def joint(first: int, heads: int) -> Source:
        """Each KV head's queries stand before its key and its value."""
        view = View(groups=decoder.kv_heads, first=first * size, count=heads * size)
        return Source("transformer.h.{}.self_attention.query_key_value.weight", view)

    names = Names(
        embedding="transformer.word_embeddings.weight",
        norm="transformer.ln_f.weight",
        head="lm_head.weight",
        attention_norm="transformer.h.{}.input_layernorm.weight",
        query=joint(0, group),
        key=joint(group, 1),
        value=joint(group + 1, 1),
        output="transformer.h.{}.self_attention.dense.weight",
        feed_forward_norm=None,
        gate=None,
        up="transformer.h.{}.mlp.dense_h_to_4h.weight",
        down="transformer.h.{}.mlp.dense_4h_to_h.weight",
    )
    if "feed_forward_norm" not in decoder.biases:
        return names
    if not decoder.parallel:
        return replace(names, feed_forward_norm="transformer.h.{}.post_attention_layernorm.weight")
    return replace(
        names,
        attention_norm="transformer.h.{}.ln_attn.weight",
        feed_forward_norm="transformer.h.{}.ln_mlp.weight",
    )


FALCON = DecoderFamily(_decoder, _names, prefix="transformer.")
