"""GGUF files of every architecture, written by the `gguf` package from random Hugging Face folders: the same model.

Tensor names are `gguf`'s own, looked up by the folder's; what llama.cpp's converter (`convert_hf_to_gguf.py`) makes of
values is written out here once more, from its description.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from gguf import MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map
from safetensors.numpy import save_file

from codesign import api
from codesign.errors import CodesignError
from codesign.numerics.block_formats import encode
from codesign.program import Program
from codesign.weights import StoredTensor, gguf_writer, open_gguf

TOKENS = [5, 17, 2, 40, 9, 33, 61, 8, 12, 90, 4, 77]

Tensors = dict[str, np.ndarray]


def random_folder(folder: Path, config: Mapping[str, object]) -> Tensors:
    """A folder of a random model with this configuration, its tensors as our own reader expects them."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for parameter in api.load_model(folder / "config.json").parameters.values():
        shape = parameter.type.get_shape()
        shape = shape[parameter.stacked + ("{expert}" in parameter.source.data) :]
        for name in parameter.sources:
            shapes[name] = _whole(shape, parameter.view and parameter.view.data, shapes.get(name))
    tensors = {}
    for name, shape in shapes.items():
        noise = random.standard_normal(shape).astype(np.float32)
        tensors[name] = 0.25 * noise if len(shape) > 1 else 0.3 * noise + (name.endswith("norm.weight"))
    save_file(tensors, folder / "model.safetensors")
    return tensors


def _whole(shape, view, known):
    """The shape of the tensor of which a view is `shape`: what reaches furthest of all views says how much there is."""
    if view is None:
        return shape
    if view.count:
        extent = view.groups * (view.first + view.count)
        shape = (*shape[: view.axis], extent, *shape[view.axis + 1 :])
    shape = (*shape[:-2], shape[-1], shape[-2]) if view.transposed and len(shape) > 1 else shape
    return shape if known is None else tuple(map(max, shape, known))


def permuted(values: np.ndarray, heads: int) -> np.ndarray:
    """`LlamaModel.permute`: the two halves of each head interleaved."""
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _llama(tensors: Tensors, config) -> Tensors:
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    return {
        name: permuted(values, heads[part]) if (part := name.split(".")[-2]) in heads else values
        for name, values in tensors.items()
    }


def _gemma(tensors: Tensors, config) -> Tensors:
    return {name: values + 1 if name.endswith("norm.weight") else values for name, values in tensors.items()}


def _gpt2(tensors: Tensors, config) -> Tensors:
    """`Conv1D` weights are transposed."""
    matrices = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return {name: values.T.copy() if name.endswith(matrices) else values for name, values in tensors.items()}


def _apart(groups: Callable[[Mapping[str, int]], int], queries: Callable[[Mapping[str, int]], int]):
    """Joint matrices that go group by group are taken apart: first all queries, then all keys, then all values."""

    def change(tensors: Tensors, config) -> Tensors:
        changed = dict(tensors)
        for name, values in tensors.items():
            if "query_key_value" in name:
                size = config["hidden_size"] // config["num_attention_heads"]
                parts = values.reshape(groups(config), queries(config) + 2, size, -1)
                split = (parts[:, :-2], parts[:, -2:-1], parts[:, -1:])
                changed[name] = np.concatenate([part.reshape(-1, *values.shape[1:]) for part in split])
        return changed

    return change


def _experts(tensors: Tensors, config) -> Tensors:
    """The matrices of all experts of a layer in one tensor, under the name that `gguf` knows for it."""
    changed: dict[str, list[np.ndarray] | np.ndarray] = {}
    for name, values in tensors.items():
        before, experts, after = name.partition(".experts.")
        if not experts:
            changed[name] = values
            continue
        _, part, end = after.split(".")
        changed.setdefault(f"{before}.experts.{part}.{end}", []).append(values)
    return {name: np.stack(values) if isinstance(values, list) else values for name, values in changed.items()}


def _mixtral(tensors: Tensors, config) -> Tensors:
    return _experts(_llama(tensors, config), config)


def _old_mixtral(tensors: Tensors, config) -> Tensors:
    """A tensor for each expert, as files had before experts were joined; `gguf` knows the names no more."""
    changed = {}
    for name, values in _llama(tensors, config).items():
        if ".experts." in name:
            layer, expert, matrix = name.split(".")[2], name.split(".")[5], name.split(".")[6]
            name = f"blk.{layer}.ffn_{ {'w1': 'gate', 'w2': 'down', 'w3': 'up'}[matrix] }.{expert}.weight"
        changed[name] = values
    return changed


def _gpt_oss(tensors: Tensors, config) -> Tensors:
    """Gate and up, which take turns, are taken apart, and matrices stored [out, in]."""
    changed: Tensors = {}
    for name, values in tensors.items():
        bias = name.endswith("_bias")
        end = ".bias" if bias else ".weight"
        if "gate_up_proj" in name:
            for first, part in enumerate(("gate", "up")):
                taken = values[..., first::2]
                new = name.replace("gate_up_proj", f"{part}_proj").removesuffix("_bias") + end
                changed[new] = taken.copy() if bias else taken.swapaxes(1, 2).copy()
        elif "experts.down_proj" in name:
            changed[name.removesuffix("_bias") + end] = values if bias else values.swapaxes(1, 2).copy()
        else:
            changed[name] = values
    return changed


def _qwen2_moe(tensors: Tensors, config) -> Tensors:
    """The shared expert's gate, a row, is a vector."""
    return {
        name: values[0] if name.endswith("shared_expert_gate.weight") else values
        for name, values in _experts(tensors, config).items()
    }


def _llama4(tensors: Tensors, config) -> Tensors:
    """Gate and up taken apart, and the matrices of experts stored [out, in]."""
    changed: Tensors = {}
    for name, values in tensors.items():
        if "gate_up_proj" in name:
            for part, half in zip(("gate", "up"), np.split(values.swapaxes(1, 2), 2, axis=1), strict=True):
                changed[name.replace("gate_up", part) + ".weight"] = half
        elif "experts.down_proj" in name:
            changed[name + ".weight"] = values.swapaxes(1, 2)
        else:
            changed[name] = values
    return changed | _rotary_factors(config)


def _rotary_factors(config) -> Tensors:
    """`LlamaModel.generate_extra_tensors`: of Llama 4, which leaves no room for a blend."""
    scaling, size = config.get("rope_scaling"), config["head_dim"]
    if scaling is None:
        return {}
    frequencies = config["rope_theta"] ** -(np.arange(0, size, 2) / size)
    slow = 2 * np.pi / frequencies > scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    return {"rope_freqs.weight": np.where(slow, scaling["factor"], 1.0).astype(np.float32)}


def _deepseek(tensors: Tensors, config) -> Tensors:
    """Matrices of keys and values apart, those of keys transposed, head by head."""
    content = config["qk_nope_head_dim"]
    changed: Tensors = {}
    for name, values in _experts(tensors, config).items():
        if "kv_b_proj" in name:
            heads = values.reshape(config["num_attention_heads"], -1, values.shape[1])
            changed[name.replace("kv_b", "k_b")] = heads[:, :content].swapaxes(1, 2)
            changed[name.replace("kv_b", "v_b")] = heads[:, content:]
        else:
            changed[name.replace("correction_bias", "correction.bias")] = values
    return changed


def _old_deepseek(tensors: Tensors, config) -> Tensors:
    return {
        name.replace("correction_bias", "correction.bias"): values for name, values in _experts(tensors, config).items()
    }


def _phi3(tensors: Tensors, config) -> Tensors:
    """`Phi3MiniModel.generate_extra_tensors`."""
    scaling = config["rope_scaling"]
    factors = {f"rope_factors_{which}.weight": np.float32(scaling[f"{which}_factor"]) for which in ("long", "short")}
    return tensors | factors


def _same(tensors: Tensors, config) -> Tensors:
    return tensors


LLAMA = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5000.0,
}
FALCON = {
    name: value
    for name, value in LLAMA.items()
    if name not in ("intermediate_size", "num_key_value_heads", "rms_norm_eps")
}
STARCODER = {name: value for name, value in LLAMA.items() if name != "rms_norm_eps"}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 5}
GEMMA = {**LLAMA, "head_dim": 8}

DEEPSEEK = {
    **LLAMA,
    "num_key_value_heads": 6,
    "rms_norm_eps": 1e-6,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
}
DEEPSEEK_KEYS = {
    "attention.kv_lora_rank": 16,
    "attention.q_lora_rank": 24,
    "rope.dimension_count": 4,
    "leading_dense_block_count": 1,
    "expert_count": 8,
    "expert_used_count": 2,
    "expert_shared_count": 2,
    "expert_feed_forward_length": 24,
}
OF_A_HEAD = {"attention.key_length": 12, "attention.value_length": 6}
OF_THE_LATENT_SPACE = {
    "attention.head_count_kv": 1,
    "attention.key_length": 20,
    "attention.value_length": 16,
    "attention.key_length_mla": 12,
    "attention.value_length_mla": 6,
}
LLAMA_4 = {
    "model_type": "llama4_text",
    **GEMMA,
    "intermediate_size": 24,
    "intermediate_size_mlp": 80,
    "num_hidden_layers": 5,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
}
LLAMA_4_KEYS = {
    "attention.key_length": 8,
    "feed_forward_length": 80,
    "expert_feed_forward_length": 24,
    "expert_count": 5,
    "expert_used_count": 2,
}

Metadata = Mapping[str, int | float | bool | str]


@dataclass(frozen=True)
class Case:
    """An architecture, a configuration, the metadata beside those of `common`, and what happens to values."""

    arch: str
    config: Mapping[str, object]
    metadata: Metadata = field(default_factory=dict)
    change: Callable[[Tensors, Mapping[str, object]], Tensors] = _same


CASES = {
    "llama": Case("llama", {"model_type": "llama", **LLAMA}, {"rope.dimension_count": 8}, _llama),
    "llama-tied": Case(
        "llama",
        {"model_type": "llama", **LLAMA, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
        {},
        _llama,
    ),
    "llama-linear": Case(
        "llama",
        {"model_type": "llama", **LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 2.5}},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 2.5},
        _llama,
    ),
    "llama-yarn": Case(
        "llama",
        {
            "model_type": "llama",
            **LLAMA,
            "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        },
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16},
        _llama,
    ),
    "mistral": Case("llama", {"model_type": "mistral", **LLAMA, "sliding_window": None}, {}, _llama),
    "mixtral": Case(
        "llama",
        {"model_type": "mixtral", **LLAMA, **EXPERTS},
        {"expert_count": 5, "expert_used_count": 2},
        _mixtral,
    ),
    "mixtral-old": Case(
        "llama",
        {"model_type": "mixtral", **LLAMA, **EXPERTS},
        {"expert_count": 5, "expert_used_count": 2},
        _old_mixtral,
    ),
    "qwen2": Case("qwen2", {"model_type": "qwen2", **LLAMA}),
    "qwen2moe": Case(
        "qwen2moe",
        {
            "model_type": "qwen2_moe",
            **LLAMA,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 40,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_feed_forward_length": 24,
            "expert_shared_feed_forward_length": 40,
        },
        _qwen2_moe,
    ),
    "qwen3": Case("qwen3", {"model_type": "qwen3", **GEMMA, "head_dim": 12}, {"attention.key_length": 12}),
    "qwen3moe": Case(
        "qwen3moe",
        {"model_type": "qwen3_moe", **GEMMA, **EXPERTS, "moe_intermediate_size": 24, "norm_topk_prob": True},
        {"expert_count": 5, "expert_used_count": 2, "expert_feed_forward_length": 24, "attention.key_length": 8},
        _experts,
    ),
    "gemma": Case("gemma", {"model_type": "gemma", **GEMMA}, {"attention.key_length": 8}, _gemma),
    "gemma2": Case(
        "gemma2",
        {
            "model_type": "gemma2",
            **GEMMA,
            "sliding_window": 5,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 0.7,
            "final_logit_softcapping": 1.5,
        },
        {
            "attention.key_length": 8,
            "attention.sliding_window": 5,
            "attn_logit_softcapping": 0.7,
            "final_logit_softcapping": 1.5,
        },
        _gemma,
    ),
    "gemma3": Case(
        "gemma3",
        {
            "model_type": "gemma3_text",
            **GEMMA,
            "num_hidden_layers": 7,
            "sliding_window": 5,
            "query_pre_attn_scalar": 12,
            "head_dim": 12,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
        {
            "attention.key_length": 12,
            "attention.sliding_window": 5,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
        _gemma,
    ),
    "phi3": Case(
        "phi3",
        {"model_type": "phi3", **LLAMA, "pad_token_id": 0, "sliding_window": 6, "partial_rotary_factor": 0.5},
        {"attention.sliding_window": 6, "rope.dimension_count": 4},
    ),
    "phi3-longrope": Case(
        "phi3",
        {
            "model_type": "phi3",
            **LLAMA,
            "pad_token_id": 0,
            "original_max_position_embeddings": 16,
            "rope_scaling": {
                "rope_type": "longrope",
                "short_factor": [1.0, 1.1, 1.3, 1.75],
                "long_factor": [1.25, 2.5, 4.0, 8.0],
            },
        },
        {"rope.scaling.original_context_length": 16, "rope.scaling.attn_factor": sqrt(1 + log(4) / log(16))},
        _phi3,
    ),
    "llama4": Case("llama4", LLAMA_4, {**LLAMA_4_KEYS, "interleave_moe_layer_step": 1}, _llama4),
    "llama4-scaled": Case(
        "llama4",
        {
            **LLAMA_4,
            "rope_theta": 5e5,
            "interleave_moe_layer_step": 2,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
            },
        },
        {**LLAMA_4_KEYS, "interleave_moe_layer_step": 2},
        _llama4,
    ),
    "deepseek2": Case(
        "deepseek2",
        {
            "model_type": "deepseek_v2",
            **DEEPSEEK,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "routed_scaling_factor": 16.0,
        },
        {
            **DEEPSEEK_KEYS,
            **OF_THE_LATENT_SPACE,
            "expert_weights_scale": 16.0,
            "expert_group_count": 4,
            "expert_group_used_count": 2,
        },
        _deepseek,
    ),
    "deepseek2-old": Case(
        "deepseek2",
        {
            "model_type": "deepseek_v2",
            **DEEPSEEK,
            "q_lora_rank": None,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 16,
                "mscale": 0.707,
                "mscale_all_dim": 0.707,
            },
        },
        {
            **{name: value for name, value in DEEPSEEK_KEYS.items() if name != "attention.q_lora_rank"},
            **OF_A_HEAD,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 16,
            "rope.scaling.yarn_log_multiplier": 0.0707,
        },
        _old_deepseek,
    ),
    "deepseek3": Case(
        "deepseek2",
        {"model_type": "deepseek_v3", **DEEPSEEK, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5},
        {
            **DEEPSEEK_KEYS,
            **OF_THE_LATENT_SPACE,
            "expert_weights_scale": 2.5,
            "expert_weights_norm": True,
            "expert_gating_func": 2,
            "expert_group_count": 4,
            "expert_group_used_count": 2,
        },
        _deepseek,
    ),
    "gpt2": Case(
        "gpt2",
        {
            "model_type": "gpt2",
            "vocab_size": 96,
            "n_embd": 48,
            "n_layer": 3,
            "n_head": 3,
            "n_positions": 64,
            "n_inner": 192,
        },
        {},
        _gpt2,
    ),
    "gptneox": Case(
        "gptneox",
        {
            "model_type": "gpt_neox",
            "vocab_size": 96,
            "hidden_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "intermediate_size": 100,
            "max_position_embeddings": 64,
        },
        {"rope.dimension_count": 4, "use_parallel_residual": True},
        _apart(lambda config: config["num_attention_heads"], lambda config: 1),
    ),
    "falcon-7b": Case(
        "falcon",
        {"model_type": "falcon", **FALCON, "multi_query": True, "ffn_hidden_size": 80, "num_kv_heads": 1},
        {"attention.head_count_kv": 1},
        _apart(lambda config: 1, lambda config: config["num_attention_heads"]),
    ),
    "falcon-40b": Case(
        "falcon",
        {"model_type": "falcon", **FALCON, "new_decoder_architecture": True, "ffn_hidden_size": 80, "num_kv_heads": 2},
        {},
        _apart(lambda config: 2, lambda config: 3),
    ),
    "starcoder2": Case("starcoder2", {"model_type": "starcoder2", **STARCODER}),
    "olmo2": Case("olmo2", {"model_type": "olmo2", **LLAMA}),
    "smollm3": Case("smollm3", {"model_type": "smollm3", **LLAMA, "num_hidden_layers": 5}, {}, _llama),
    "gpt-oss": Case(
        "gpt-oss",
        {"model_type": "gpt_oss", **GEMMA, **EXPERTS, "sliding_window": 5},
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_feed_forward_length": 80,
            "attention.key_length": 8,
            "attention.sliding_window": 5,
        },
        _gpt_oss,
    ),
}


def common(config: Mapping[str, object]) -> dict[str, int | float | bool | str]:
    """The metadata that the converter writes of every model."""
    stated = {
        "block_count": ("num_hidden_layers", "n_layer"),
        "embedding_length": ("hidden_size", "n_embd"),
        "feed_forward_length": ("intermediate_size", "ffn_hidden_size", "n_inner"),
        "attention.head_count": ("num_attention_heads", "n_head"),
        "attention.head_count_kv": ("num_key_value_heads", "num_kv_heads"),
        "vocab_size": ("vocab_size",),
        "context_length": ("max_position_embeddings", "n_positions"),
        "rope.freq_base": ("rope_theta",),
        "attention.layer_norm_rms_epsilon": ("rms_norm_eps",),
    }
    found = {key: [config[name] for name in names if name in config] for key, names in stated.items()}
    metadata = {key: values[0] for key, values in found.items() if values}
    metadata.setdefault("attention.layer_norm_epsilon", 1e-5)
    return metadata


def write_gguf(path: Path, case: Case, tensors: Tensors, **metadata: object) -> None:
    writer = GGUFWriter(path, case.arch)
    for key, value in {**common(case.config), **case.metadata, **metadata}.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add[type(value)](key if "." in key and key.startswith("tokenizer") else f"{case.arch}.{key}", value)
    arch = next(known for known, name in MODEL_ARCH_NAMES.items() if name == case.arch)
    names = get_tensor_name_map(arch, 9)
    for name, values in case.change(tensors, case.config).items():
        known = names.get_name(name, try_suffixes=(".weight", ".bias")) or name
        # The converter gives a suffix to a parameter without one.
        known = known if known.endswith((".weight", ".bias")) else f"{known}.weight"
        writer.add_tensor(known, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(program: Program) -> np.ndarray:
    session = api.plugins().backend(api.Executor).session(program, context=64)
    return session.step([TOKENS], keep=len(TOKENS))[0].copy()


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder and the GGUF file of the same model."""
    folder = tmp_path_factory.mktemp("model")
    case = CASES[request.param]
    tensors = random_folder(folder / "folder", case.config)
    write_gguf(folder / f"{request.param}.gguf", case, tensors)
    return folder / "folder", folder / f"{request.param}.gguf"


def test_logits_are_those_of_the_folder(pair: tuple[Path, Path]) -> None:
    theirs, ours = (logits(api.load_model(path)) for path in pair)
    assert np.isfinite(theirs).all()
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_both_written_again_are_the_same_model(pair: tuple[Path, Path]) -> None:
    theirs = logits(api.load_model(pair[0]))
    for source in pair:
        program, target = api.load_model(source), pair[1].with_name("again.gguf")
        api.export(program, target)
        assert np.abs(logits(api.load_model(target)) - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    case = CASES["llama-yarn"]
    tensors = random_folder(tmp_path / "folder", case.config)
    for metadata, message in (
        ({"rope.scaling.type": "longrope"}, "'short_factor' is missing"),
        ({"rope.scaling.factor": 0.5}, "a rotary factor is at least 1, got 0.5"),
        ({"rope.scaling.original_context_length": 2.5}, "original_context_length' is not a whole number: 2.5"),
        ({"expert_count": 8}, "the metadata 'llama.expert_used_count' is missing"),
    ):
        write_gguf(tmp_path / "model.gguf", case, tensors, **metadata)
        with pytest.raises(CodesignError) as error:
            api.load_model(tmp_path / "model.gguf")
        assert message in str(error.value)


def test_nvfp4_with_a_scale_of_the_tensor_is_refused(tmp_path: Path) -> None:
    case = replace(CASES["llama"], config={**CASES["llama"].config, "intermediate_size": 64})
    tensors = random_folder(tmp_path / "folder", case.config)
    write_gguf(tmp_path / "model.gguf", case, tensors)
    stored = dict(open_gguf(tmp_path / "model.gguf").tensors)
    down = stored[name := "blk.0.ffn_down.weight"]
    stored[name] = StoredTensor(name, down.shape, "nvfp4_blocks", encode("nvfp4_blocks", down.float32()))
    metadata = open_gguf(tmp_path / "model.gguf").metadata
    gguf_writer.write_gguf(tmp_path / "blocks.gguf", metadata, list(stored.values()))
    assert np.isfinite(logits(api.load_model(tmp_path / "blocks.gguf"))).all()
    one = np.ones(1, np.float32).view(np.uint8)
    stored["scale"] = StoredTensor("blk.0.ffn_down.scale", (1,), "float32", one)
    gguf_writer.write_gguf(tmp_path / "scaled.gguf", metadata, list(stored.values()))
    with pytest.raises(CodesignError, match=r"'blk.0.ffn_down.weight' is NVFP4 with a scale of the whole tensor"):
        api.load_model(tmp_path / "scaled.gguf")


TRANSFORMERS_READS = (
    "llama",
    "llama-tied",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt2",
    "falcon-7b",
    "starcoder2",
)
"""`transformers` 5 leaves Falcon 40B's joint matrix taken apart, and knows no names for the others."""


@pytest.mark.nightly
@pytest.mark.parametrize("pair", TRANSFORMERS_READS, indirect=True)
def test_transformers_computes_the_same_from_the_file(pair: tuple[Path, Path]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, path = pair
    # The folder's configuration: from metadata `transformers` reads no head size, window or softcap.
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, config=config, dtype=torch.float32)
    with torch.no_grad():
        theirs = model.eval()(torch.tensor([TOKENS])).logits[0].numpy()
    ours = logits(api.load_model(path))
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
