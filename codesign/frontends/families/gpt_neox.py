"""GPT-NeoX (Black et al., 2022) and Pythia: attention and feed-forward side by side, each behind its own LayerNorm."""

from codesign.errors import CodesignError
from codesign.frontends.family import ACTIVATIONS, DecoderFamily, rotary, rotary_size
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Names, Source
from codesign_dialects.transformer.view import View

_NORMS = frozenset(("norm", "attention_norm", "feed_forward_norm"))
_ATTENTION = frozenset(("query", "key", "value", "output"))


def _decoder(fields: Fields) -> Decoder:
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    if heads < 1 or hidden % heads:
        raise CodesignError(f"{fields.where}: hidden_size {hidden} does not divide into num_attention_heads {heads}")
    theta, scaling = rotary(fields, fields.number("rotary_emb_base", 10000.0))
    return Decoder(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        layers=fields.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=heads,
        head_size=hidden // heads,
        feed_forward=fields.integer("intermediate_size"),
        context=fields.integer("max_position_embeddings", 2048),
        epsilon=fields.number("layer_norm_eps", 1e-5),
        theta=theta,
        activation=fields.choose("hidden_act", ACTIVATIONS, "gelu"),
        rotary_size=rotary_size(fields, hidden // heads, fields.number("rotary_pct", 0.25)),
        rotary_scaling=scaling,
        tied=fields.flag("tie_word_embeddings", False),
        layer_norm=True,
        biases=_NORMS
        | frozenset(("up", "down"))
        | (_ATTENTION if fields.flag("attention_bias", True) else frozenset[str]()),
        parallel=fields.flag("use_parallel_residual", True),
    )


def _names(decoder: Decoder) -> Names:
    heads, size = decoder.heads, decoder.head_size

    def joint(part: int) -> Source:
        view = View(groups=heads, first=part * size, count=size)
        return Source("gpt_neox.layers.{}.attention.query_key_value.weight", view)

    return Names(
        embedding="gpt_neox.embed_in.weight",
        norm="gpt_neox.final_layer_norm.weight",
        head="embed_out.weight",
        attention_norm="gpt_neox.layers.{}.input_layernorm.weight",
        query=joint(0),
        key=joint(1),
        value=joint(2),
        output="gpt_neox.layers.{}.attention.dense.weight",
        feed_forward_norm="gpt_neox.layers.{}.post_attention_layernorm.weight",
        gate=None,
        up="gpt_neox.layers.{}.mlp.dense_h_to_4h.weight",
        down="gpt_neox.layers.{}.mlp.dense_4h_to_h.weight",
    )


GPT_NEOX = DecoderFamily(_decoder, _names, prefix="gpt_neox.")
