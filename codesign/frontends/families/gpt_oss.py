"""gpt-oss (OpenAI, 2025): a mixture of experts, attention sinks, every other layer slides."""

from dataclasses import replace

from codesign.frontends.families.llama import ATTENTION_BIASES, NAMES, llama_decoder
from codesign.frontends.family import FULL, SLIDING, DecoderFamily, layer_types, rotary, sliding_pattern
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Experts, Layer, Names, Source
from codesign_dialects.transformer.view import View


def _decoder(fields: Fields) -> Decoder:
    fields.expect("hidden_act", "silu")
    fields.expect("attention_bias", True)
    # 1.702 is what makes the gate the approximation of GELU by a sigmoid.
    fields.expect("swiglu_alpha", 1.702)
    # What the published configurations say besides, twice or of the training.
    fields.skip("experts_per_token", "initial_context_length")
    decoder = replace(
        llama_decoder(fields, epsilon=1e-5, rope=rotary(fields, 150000.0)), head_size=fields.integer("head_dim", 64)
    )
    types = layer_types(fields, decoder.layers, lambda layer: FULL if layer % 2 else SLIDING)
    return replace(
        decoder,
        activation="gelu_sigmoid",
        biases=ATTENTION_BIASES | frozenset(("router", "expert_gate", "expert_up", "expert_down")),
        experts=Experts(
            count=fields.integer("num_local_experts"),
            chosen=fields.integer("num_experts_per_tok"),
            feed_forward=decoder.feed_forward,
            limit=fields.number("swiglu_limit", 7.0),
            up_offset=1.0,
        ),
        pattern=sliding_pattern(types, Layer(window=fields.integer("sliding_window", 128))),
    )


def _names(decoder: Decoder) -> Names:
    joint = "model.layers.{}.mlp.experts.gate_up_proj"

    def every_other(first: int) -> Source:
        view = View(transposed=True, axis=1, groups=decoder.feed_forward, first=first, count=1)
        return Source(joint, view)

    return replace(
        NAMES,
        sinks="model.layers.{}.self_attn.sinks",
        router="model.layers.{}.mlp.router.weight",
        expert_gate=every_other(0),
        expert_up=every_other(1),
        expert_down=Source("model.layers.{}.mlp.experts.down_proj", View(transposed=True)),
    )


GPT_OSS = DecoderFamily(_decoder, _names)
