"""GPT-2 (Radford et al., 2019): learned positions, LayerNorm, biases everywhere, matrices stored ``[in, out]``."""

from codesign.errors import CodesignError
from codesign.frontends.family import ACTIVATIONS, DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer, Names, Source
from codesign_dialects.transformer.view import View


def _decoder(fields: Fields) -> Decoder:
    fields.expect("scale_attn_weights", True)
    fields.expect("scale_attn_by_inverse_layer_idx", False)
    fields.expect("add_cross_attention", False)
    # A way to compute the same scores, and what old configurations say of the context.
    fields.skip("reorder_and_upcast_attn", "n_ctx")
    hidden, heads = fields.integer("n_embd"), fields.integer("n_head")
    if heads < 1 or hidden % heads:
        raise CodesignError(f"{fields.where}: n_embd {hidden} does not divide into n_head {heads}")
    return Decoder(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        layers=fields.integer("n_layer"),
        heads=heads,
        kv_heads=heads,
        head_size=hidden // heads,
        feed_forward=fields.integer("n_inner", 4 * hidden),
        context=fields.integer("n_positions"),
        epsilon=fields.number("layer_norm_epsilon", 1e-5),
        theta=1.0,
        activation=fields.choose("activation_function", ACTIVATIONS, "gelu_new"),
        tied=fields.flag("tie_word_embeddings", True),
        layer_norm=True,
        biases=frozenset(
            ("norm", "attention_norm", "query", "key", "value", "output", "feed_forward_norm", "up", "down")
        ),
        pattern=(Layer(rotary=False),),
    )


def _names(decoder: Decoder) -> Names:
    hidden = decoder.hidden

    def joint(part: int) -> Source:
        return Source("transformer.h.{}.attn.c_attn.weight", View(transposed=True, first=part * hidden, count=hidden))

    return Names(
        embedding="transformer.wte.weight",
        positions="transformer.wpe.weight",
        norm="transformer.ln_f.weight",
        head="lm_head.weight",
        attention_norm="transformer.h.{}.ln_1.weight",
        query=joint(0),
        key=joint(1),
        value=joint(2),
        output=Source("transformer.h.{}.attn.c_proj.weight", View(transposed=True)),
        feed_forward_norm="transformer.h.{}.ln_2.weight",
        gate=None,
        up=Source("transformer.h.{}.mlp.c_fc.weight", View(transposed=True)),
        down=Source("transformer.h.{}.mlp.c_proj.weight", View(transposed=True)),
    )


GPT_2 = DecoderFamily(_decoder, _names, prefix="transformer.")
