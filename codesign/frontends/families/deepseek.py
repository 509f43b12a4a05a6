"""DeepSeek-V2 (DeepSeek-AI, 2024) and V3 (2024): multi-head latent attention, shared and routed experts behind a few
dense layers."""

from dataclasses import replace
from math import log

from codesign.errors import CodesignError
from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Experts, Latent, Layer, Names, Source
from codesign_dialects.transformer.view import View


def _decoder(fields: Fields) -> Decoder:
    latent = Latent(
        rank=fields.integer("kv_lora_rank"),
        content=fields.integer("qk_nope_head_dim"),
        rotary=fields.integer("qk_rope_head_dim"),
        value=fields.integer("v_head_dim"),
        query_rank=fields.integer("q_lora_rank") if fields.has("q_lora_rank") else None,
    )
    # What `transformers` writes of the sizes above.
    fields.expect("head_dim", latent.rotary)
    fields.expect("qk_head_dim", latent.content + latent.rotary)
    # Layers that predict further tokens stand behind the model's own and are not run; how training spreads experts.
    fields.skip("num_mtp_layers", "num_nextn_predict_layers", "ep_size", "aux_loss_alpha", "seq_aux")
    fields.expect("moe_layer_freq", 1)
    decoder = llama_decoder(fields)
    dense = fields.integer("first_k_dense_replace")
    if not 0 <= dense <= decoder.layers:
        raise CodesignError(
            f"{fields.where}: first_k_dense_replace is 0 to num_hidden_layers {decoder.layers}, got {dense}"
        )
    biased = frozenset(("latent", "rotary_key", "output")) | (
        frozenset(("latent_query",)) if latent.query_rank is not None else frozenset[str]()
    )
    size = latent.content + latent.rotary
    return replace(
        decoder,
        kv_heads=decoder.heads,
        head_size=size,
        latent=latent,
        attention_scale=size**-0.5 * _magnitude(fields) ** 2,
        rotary_style="interleaved" if fields.flag("rope_interleave", True) else "half",
        biases=biased if fields.flag("attention_bias", False) else frozenset[str](),
        pattern=(Layer("dense", dense=True),) * dense + (Layer(),) * (decoder.layers - dense),
    )


def _magnitude(fields: Fields) -> float:
    """What a scaled context multiplies query and key by, content included (``mscale_all_dim``; equation 22 of YaRN)."""
    for name in ("rope_parameters", "rope_scaling"):
        scaling = fields.fields(name)
        weight = scaling.number("mscale_all_dim", 0.0)
        if weight and scaling.number("factor", 1.0) > 1:
            return 0.1 * weight * log(scaling.number("factor")) + 1
    return 1.0


def _experts(fields: Fields) -> Experts:
    width = fields.integer("moe_intermediate_size")
    # `transformers` 5 writes the names that Mixtral has, or those of the first configurations.
    names = ("n_routed_experts", "num_local_experts", "num_experts")
    present = [name for name in names if fields.has(name)]
    groups = fields.integer("n_group", 1), fields.integer("topk_group", 1)
    return Experts(
        count=fields.integer(present[0] if present else names[0]),
        chosen=fields.integer("num_experts_per_tok"),
        feed_forward=width,
        scale=fields.number("routed_scaling_factor", 1.0),
        groups=None if groups[0] == 1 else groups,
        shared=width * fields.integer("n_shared_experts"),
    )


def _deepseek_2(fields: Fields) -> Decoder:
    method = fields.text("topk_method", "greedy")
    if method not in ("greedy", "group_limited_greedy"):
        raise CodesignError(
            f"{fields.where}: topk_method '{method[:60]}' is not supported; supported: greedy, group_limited_greedy"
        )
    fields.expect("scoring_func", "softmax")
    fields.expect("norm_topk_prob", False)
    fields.expect("mlp_bias", False)
    experts = _experts(fields)
    experts = replace(experts, normalize=False, group_best=1, groups=None if method == "greedy" else experts.groups)
    return replace(_decoder(fields), experts=experts)


def _deepseek_3(fields: Fields) -> Decoder:
    fields.expect("topk_method", "noaux_tc")
    fields.expect("scoring_func", "sigmoid")
    normalize = fields.flag("norm_topk_prob", True)
    return replace(_decoder(fields), experts=replace(_experts(fields), scoring="sigmoid", normalize=normalize))


def _names(decoder: Decoder) -> Names:
    latent = decoder.latent
    assert latent is not None
    attention, feed_forward = "model.layers.{}.self_attn.", "model.layers.{}.mlp."
    down = latent.query_rank is not None
    queries, both = attention + ("q_b_proj.weight" if down else "q_proj.weight"), attention + "kv_b_proj.weight"
    compressed = attention + "kv_a_proj_with_mqa.weight"

    def of_heads(name: str, first: int, count: int) -> Source:
        return Source(name, View(groups=decoder.heads, first=first, count=count))

    return replace(
        NAMES,
        query=of_heads(queries, 0, latent.content),
        rotary_query=of_heads(queries, latent.content, latent.rotary),
        key=of_heads(both, 0, latent.content),
        value=of_heads(both, latent.content, latent.value),
        latent=Source(compressed, View(first=0, count=latent.rank)),
        rotary_key=Source(compressed, View(first=latent.rank, count=latent.rotary)),
        latent_norm=attention + "kv_a_layernorm.weight",
        latent_query=attention + "q_a_proj.weight" if down else None,
        latent_query_norm=attention + "q_a_layernorm.weight" if down else None,
        router=feed_forward + "gate.weight",
        expert_gate=feed_forward + "experts.{expert}.gate_proj.weight",
        expert_up=feed_forward + "experts.{expert}.up_proj.weight",
        expert_down=feed_forward + "experts.{expert}.down_proj.weight",
        shared_gate=feed_forward + "shared_experts.gate_proj.weight",
        shared_up=feed_forward + "shared_experts.up_proj.weight",
        shared_down=feed_forward + "shared_experts.down_proj.weight",
    )


def _names_3(decoder: Decoder) -> Names:
    return replace(_names(decoder), selection_bias="model.layers.{}.mlp.gate.e_score_correction_bias")


DEEPSEEK_2 = DecoderFamily(_deepseek_2, _names)
DEEPSEEK_3 = DecoderFamily(_deepseek_3, _names_3)
