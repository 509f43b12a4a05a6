"""Every family without weights: the IR that its configuration is, and what it refuses by name."""

import json
from collections import Counter
from pathlib import Path

import pytest
from xdsl.dialects.func import FuncOp

from codesign import api
from codesign.errors import CodesignError
from codesign.frontends.families import FAMILIES
from codesign.program import Program
from codesign_dialects.transformer import AttentionOp, RepeatOp, RMSNormOp, RotaryOp

LLAMA = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
GPT = {"vocab_size": 96, "n_embd": 48, "n_layer": 6, "n_head": 6, "n_positions": 64}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 5, "moe_intermediate_size": 24}
DEEPSEEK = {**LLAMA, "num_key_value_heads": 6, "head_dim": None} | {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 2,
}
CONFIGURATIONS: dict[str, dict[str, object]] = {
    "bitnet": LLAMA,
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "falcon": {"vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 6, "num_attention_heads": 6},
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "gemma3_text": LLAMA,
    "gpt2": GPT,
    "gpt_neox": LLAMA | {"head_dim": None, "num_key_value_heads": None},
    "gpt_oss": LLAMA | {**EXPERTS, "moe_intermediate_size": None},
    "gptj": GPT | {"rotary_dim": 4},
    "llama": LLAMA,
    "llama4_text": LLAMA | {"intermediate_size_mlp": 90, "interleave_moe_layer_step": 2},
    "mistral": LLAMA,
    "mixtral": LLAMA | {**EXPERTS, "moe_intermediate_size": None},
    "olmo2": LLAMA,
    "palm": LLAMA | {"num_key_value_heads": 1},
    "phi3": LLAMA,
    "qwen2": LLAMA,
    "qwen2_moe": LLAMA
    | {**EXPERTS, "num_local_experts": None, "num_experts": 5, "shared_expert_intermediate_size": 40},
    "qwen3": LLAMA,
    "qwen3_moe": LLAMA | EXPERTS,
    "smollm3": LLAMA,
    "starcoder2": LLAMA,
}
ROTATED = ["rotary", "rotary"]
ATTENTION = ["linear"] * 4 + ["append_kv", "attention", "add"]
PRE = ["rms_norm", "rms_norm"]
GATED = ["linear"] * 3 + ["gate", "add"]
PLAIN = ["linear"] * 2 + ["activate", "add"]
MIXTURE = ["linear", "expert_gates", "moe", "add"]
CENTERED = ["layer_norm", "layer_norm"]
LATENT = [*ROTATED, *["linear"] * 6, *["head_linear"] * 2, "join_heads", "append_kv", "attention", "add", *PRE, *PRE]
SHARED = [*MIXTURE, *["linear"] * 3, "gate", "add"]
LLAMA_LAYER = ROTATED + ATTENTION + PRE + GATED
LAYERS: dict[str, dict[str, list[str]]] = {
    "bitnet": {"layer": LLAMA_LAYER + PRE},
    "deepseek_v2": {"dense": LATENT + GATED, "layer": LATENT + SHARED},
    "deepseek_v3": {"dense": LATENT + GATED, "layer": LATENT + SHARED},
    "falcon": {"layer": [*ROTATED, *ATTENTION, "layer_norm", *PLAIN]},
    "gemma": {"layer": LLAMA_LAYER},
    "gemma2": dict.fromkeys(("sliding", "full"), LLAMA_LAYER + PRE),
    "gemma3_text": dict.fromkeys(("sliding", "full"), LLAMA_LAYER + PRE + PRE),
    "gpt2": {"layer": ATTENTION + CENTERED + PLAIN},
    "gpt_neox": {"layer": ROTATED + ATTENTION + CENTERED + PLAIN},
    "gpt_oss": dict.fromkeys(("sliding", "full"), ROTATED + ATTENTION + PRE + MIXTURE),
    "gptj": {"layer": [*ROTATED, *ATTENTION, "layer_norm", *PLAIN]},
    "llama": {"layer": LLAMA_LAYER},
    "llama4_text": {
        "chunked_dense": [*ROTATED, "rms_norm", "rms_norm", *ATTENTION, *PRE, *GATED],
        "chunked": [*ROTATED, "rms_norm", "rms_norm", *ATTENTION, *PRE, *SHARED],
        "full_without_positions": ["position_scale", *ATTENTION, *PRE, *SHARED],
    },
    "mistral": {"layer": LLAMA_LAYER},
    "mixtral": {"layer": ROTATED + ATTENTION + PRE + MIXTURE},
    "olmo2": {"layer": LLAMA_LAYER + PRE},
    "palm": {"layer": [*ROTATED, *ATTENTION, "layer_norm", *GATED]},
    "phi3": {"layer": LLAMA_LAYER},
    "qwen2": {"layer": LLAMA_LAYER},
    "qwen2_moe": {"layer": [*ROTATED, *ATTENTION, *PRE, *SHARED, "linear", "gate_tokens"]},
    "qwen3": {"layer": LLAMA_LAYER + PRE},
    "qwen3_moe": {"layer": ROTATED + ATTENTION + PRE + PRE + MIXTURE},
    "smollm3": {"layer": LLAMA_LAYER, "without_positions": ATTENTION + PRE + GATED},
    "starcoder2": {"layer": ROTATED + ATTENTION + CENTERED + PLAIN},
}


def load(folder: Path, model_type: str, **changes: object) -> Program:
    fields = {"model_type": model_type, **CONFIGURATIONS[model_type], **changes}
    path = folder / f"{model_type}.json"
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))
    return api.load_model(path)


def test_every_family_is_here() -> None:
    assert set(CONFIGURATIONS) == set(LAYERS) == set(FAMILIES)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_layers_hold_these_operations(tmp_path, model_type) -> None:
    program = load(tmp_path, model_type)
    program.module.verify()
    functions = [op for op in program.module.ops if isinstance(op, FuncOp) and op is not program.step]
    counted = {
        function.sym_name.data: Counter(
            op.name.removeprefix("transformer.")
            for op in function.body.walk()
            if op.name.startswith("transformer.") and op.name != "transformer.get"
        )
        for function in functions
    }
    assert counted == {name: Counter(operations) for name, operations in LAYERS[model_type].items()}
    layers = [layer for op in program.step.walk() if isinstance(op, RepeatOp) for layer in op.layers]
    assert layers == list(range(6))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_its_ir_is_read_back(tmp_path, model_type) -> None:
    program = load(tmp_path, model_type)
    api.save(program, tmp_path / "model.mlir")
    assert str(api.load_model(tmp_path / "model.mlir")) == str(program)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_field_left_out_is_named_or_has_a_default(tmp_path, model_type) -> None:
    fields = [name for name, value in CONFIGURATIONS[model_type].items() if value is not None]
    for name in fields:
        try:
            load(tmp_path, model_type, **{name: ...})
        except CodesignError as error:
            assert f"the field '{name}' is missing; expected an integer" in str(error)


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("value", [0, -1, 10**30, 1.5, "six", [6]])
def test_a_field_of_the_wrong_kind_is_one_line(tmp_path, model_type, value) -> None:
    """No value of any field gives anything but a model or a message that names the file."""
    for name in CONFIGURATIONS[model_type]:
        try:
            load(tmp_path, model_type, **{name: value})
        except CodesignError as error:
            assert f"{model_type}.json: " in str(error)
            assert "\n" not in str(error)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_field_that_nobody_knows_is_refused(tmp_path, model_type) -> None:
    with pytest.raises(CodesignError, match=rf'{model_type}\.json: the field "residual_gain" is not known'):
        load(tmp_path, model_type, residual_gain=2.0)
    load(tmp_path, model_type, residual_gain=None, other_gain=False, _private=3, torch_dtype="bfloat16")


@pytest.mark.parametrize(
    ("model_type", "fields", "message"),
    [
        ("falcon", {"alibi": True}, "alibi true is not supported; supported: false"),
        (
            "falcon",
            {"new_decoder_architecture": True, "parallel_attn": False},
            "parallel_attn false with new_decoder_architecture is not supported",
        ),
        ("falcon", {"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn 2 is not supported; supported: 1"),
        ("falcon", {"num_attention_heads": 7}, "hidden_size 48 does not divide into num_attention_heads 7"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention true is not supported"),
        ("gemma2", {"attn_logit_softcapping": 0}, "attn_logit_softcapping is positive or null, got 0.0"),
        ("gemma2", {"query_pre_attn_scalar": -2}, "query_pre_attn_scalar is positive or null, got -2.0"),
        ("gemma3_text", {"sliding_window_pattern": 0}, "sliding_window_pattern is at least 1, got 0"),
        (
            "gemma3_text",
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
            "rotary scaling of sliding layers is not supported; supported: default",
        ),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx true is not supported"),
        ("gpt2", {"n_head": 5}, "n_embd 48 does not divide into n_head 5"),
        ("gpt2", {"activation_function": "tanh"}, "activation_function 'tanh' is not supported; supported: gelu"),
        ("gpt_neox", {"rotary_pct": 1.5}, "partial_rotary_factor is in (0, 1], got 1.5"),
        ("gpt_oss", {"swiglu_alpha": 2.0}, "swiglu_alpha 2.0 is not supported; supported: 1.702"),
        (
            "gpt_oss",
            {"quantization_config": {"quant_method": "mxfp4"}},
            "what mxfp4 stores how is seen in weights alone",
        ),
        ("gpt_oss", {"swiglu_limit": 0.0}, "the limit of an expert's activations is positive, got 0.0"),
        ("gemma3_text", {"rope_local_base_freq": 0.0}, "a layer's own rotary theta is in [1, 1e12], got 0.0"),
        (
            "llama",
            {"rope_theta": 1, "rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            "a rotary theta of 1 cannot be scaled",
        ),
        (
            "llama",
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "beta_fast": float("inf")}},
            "rotary scaling: expected 0 < slow < fast",
        ),
        ("starcoder2", {"mlp_type": "gated"}, 'mlp_type "gated" is not supported; supported: "default"'),
        ("gptj", {"rotary_dim": 5}, "rotary positions turn an even number of a head's 8 features, got 5"),
        ("gptj", {"rotary_dim": 10}, "rotary positions turn an even number of a head's 8 features, got 10"),
        ("mistral", {"sliding_window": 0}, "a sliding window holds 1 to 268435456 keys, got 0"),
        ("mixtral", {"num_experts_per_tok": 6}, "expected 1 to 65536 experts of which 1 to all are chosen, got 6 of 5"),
        (
            "phi3",
            {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}},
            "the field 'original_max_position_embeddings' is missing",
        ),
        (
            "phi3",
            {
                "original_max_position_embeddings": 16,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2]},
            },
            "rotary scaling: 1 factors for 4 pairs of features",
        ),
        (
            "phi3",
            {
                "original_max_position_embeddings": 16,
                "rope_scaling": {"type": "longrope", "short_factor": ["1"], "long_factor": [2]},
            },
            "'short_factor' must be a list of numbers",
        ),
        ("qwen2", {"layer_types": ["full_attention"] * 5}, "'layer_types' must be a list of 6 str, one a layer, got"),
        (
            "qwen3",
            {"layer_types": ["chunked_attention"] * 6},
            "layer_types: 'chunked_attention' is not supported; supported: full_attention, sliding_attention",
        ),
        ("qwen3_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step 2 is not supported; supported: 1"),
        ("qwen3_moe", {"mlp_only_layers": [0]}, "mlp_only_layers [0] is not supported; supported: []"),
        ("llama", {"rope_scaling": {"rope_type": "[" * 4000}}, f"rotary scaling '{'[' * 60}' is not supported"),
        ("deepseek_v3", {"n_group": 0}, "expected equal groups of at least 2 of the 8 experts"),
        ("deepseek_v3", {"n_group": 3}, "got 1 of 3 groups"),
        ("deepseek_v3", {"n_group": 8}, "groups of at least 2 of the 8 experts"),
        (
            "deepseek_v3",
            {"n_group": 4, "num_experts_per_tok": 3},
            "enough are chosen for 3 experts, got 1 of 4 groups",
        ),
        ("smollm3", {"no_rope_layers": [1, 0]}, "'no_rope_layers' must be a list of 6 int, one a layer, got [1, 0]"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, model_type, fields, message) -> None:
    with pytest.raises(CodesignError) as error:
        load(tmp_path, model_type, **fields)
    assert message in str(error.value)
    assert str(tmp_path / f"{model_type}.json") in str(error.value)


def test_layers_slide_where_the_configuration_says(tmp_path) -> None:
    program = load(tmp_path, "gemma3_text", sliding_window=16, sliding_window_pattern=3)
    runs = [(op.layer.string_value(), list(op.layers)) for op in program.step.walk() if isinstance(op, RepeatOp)]
    assert runs == [("sliding", [0, 1]), ("full", [2]), ("sliding", [3, 4]), ("full", [5])]
    windows = [op.window and op.window.value.data for op in program.module.walk() if isinstance(op, AttentionOp)]
    assert windows == [16, None]
    thetas = [op.theta.value.data for op in program.module.walk() if isinstance(op, RotaryOp)]
    assert thetas == [1e4, 1e4, 1e6, 1e6]


PUBLISHED = {
    "llama": {
        "unk_token_id": 0,
        "pad_token_id": 2,
        "is_llama_config": True,
        "rope_interleaved": False,
        "transformers.js_config": {"dtype": "q4"},
    },
    "gpt2": {"n_ctx": 1024, "task_specific_params": {"text-generation": {"max_length": 50}}, "summary_type": "cls"},
    "gpt_neox": {"attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0, "rotary_pct": 0.25},
    "gpt_oss": {"experts_per_token": 4, "initial_context_length": 4096, "swiglu_limit": 7.0},
    "gptj": {"rotary": True, "gradient_checkpointing": False, "tokenizer_class": "GPT2Tokenizer"},
    "falcon": {"apply_residual_connection_post_layernorm": False, "hidden_dropout": 0.0},
    "gemma2": {"cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh"},
    "starcoder2": {"mlp_type": "default", "norm_type": "layer_norm"},
}


@pytest.mark.parametrize("model_type", PUBLISHED)
def test_fields_that_published_configurations_say_besides(tmp_path, model_type) -> None:
    load(tmp_path, model_type, **PUBLISHED[model_type])


def test_norm_weights_around_zero_are_so_in_every_norm(tmp_path) -> None:
    program = load(tmp_path, "gemma3_text")
    offsets = {op.weight_offset for op in program.module.walk() if isinstance(op, RMSNormOp)}
    assert offsets == {1.0}


def test_a_plugin_adds_a_family(tmp_path, monkeypatch) -> None:
    """By the hook that Codesign's own come through."""
    import sys
    from importlib.metadata import EntryPoint, entry_points

    from codesign.plugins import manager

    (tmp_path / "stranger.py").write_text(
        "from dataclasses import replace\n"
        "from codesign.plugins import hookimpl\n"
        "@hookimpl\n"
        "def register_families():\n"
        "    return {'stranger': family}\n"
        "def family():\n"
        "    from codesign.frontends.families.llama import NAMES, llama_decoder\n"
        "    from codesign.frontends.family import DecoderFamily\n"
        "    return DecoderFamily(lambda fields: replace(llama_decoder(fields), logit_softcap=9.0), NAMES)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("stranger", "stranger", manager.GROUP)
    plugins = manager.load([*entry_points(group=manager.GROUP), point])
    monkeypatch.setattr(manager, "plugins", lambda: plugins)
    monkeypatch.setattr(api, "plugins", lambda: plugins)
    CONFIGURATIONS["stranger"] = LLAMA
    try:
        assert "transformer.softcap" in str(load(tmp_path, "stranger").step)
    finally:
        del CONFIGURATIONS["stranger"], sys.modules["stranger"]
