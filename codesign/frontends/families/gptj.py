"""GPT-J (Wang and Komatsuzaki, 2021): attention and feed-forward side by side behind one LayerNorm."""

from codesign.errors import CodesignError
from codesign.frontends.family import ACTIVATIONS, DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Names


def _decoder(fields: Fields) -> Decoder:
    fields.expect("scale_attn_weights", True)
    # What old configurations say besides: rotary positions are the only kind, and the context is `n_positions`.
    fields.expect("rotary", True)
    fields.skip("n_ctx")
    hidden, heads = fields.integer("n_embd"), fields.integer("n_head")
    if heads < 1 or hidden % heads:
        raise CodesignError(f"{fields.where}: n_embd {hidden} does not divide into n_head {heads}")
    tied = fields.flag("tie_word_embeddings", False)
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
        theta=10000.0,
        activation=fields.choose("activation_function", ACTIVATIONS, "gelu_new"),
        rotary_style="interleaved",
        rotary_size=fields.integer("rotary_dim"),
        tied=tied,
        layer_norm=True,
        biases=frozenset(("norm", "head", "attention_norm", "up", "down")),
        parallel=True,
    )


GPT_J = DecoderFamily(
    _decoder,
    Names(
        embedding="transformer.wte.weight",
        norm="transformer.ln_f.weight",
        head="lm_head.weight",
        attention_norm="transformer.h.{}.ln_1.weight",
        query="transformer.h.{}.attn.q_proj.weight",
        key="transformer.h.{}.attn.k_proj.weight",
        value="transformer.h.{}.attn.v_proj.weight",
        output="transformer.h.{}.attn.out_proj.weight",
        feed_forward_norm=None,
        gate=None,
        up="transformer.h.{}.mlp.fc_in.weight",
        down="transformer.h.{}.mlp.fc_out.weight",
    ),
    prefix="transformer.",
)
