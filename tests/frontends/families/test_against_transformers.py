"""Every family against `transformers`, on small random models that it saves: logits, greedy tokens, padded batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Executor, RoutedSession, Session
from codesign.plugins.manager import plugins
from codesign_dialects.transformer import MoEOp

pytestmark = pytest.mark.nightly

VOCABULARY = 96
PROMPTS = [[5, 17, 2, 40, 9, 33, 61, 8, 12, 90, 4, 77], [3, 55, 21], [70, 1, 14, 14, 29, 38, 50]]
STEPS = 16

HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2}
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "max_position_embeddings": 64,
    "head_dim": 8,
    **HEADS,
}
WITHOUT_HEAD_SIZE = {name: value for name, value in LLAMA.items() if name != "head_dim"}
GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 3,
    "n_head": 3,
    "n_positions": 64,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
}
FALCON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "ffn_hidden_size": 100,
}
NEOX = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 100,
}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 5}
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
NO_BLEND = {**LLAMA_3, "high_freq_factor": 1.0, "factor": 16.0}
YARN = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16}

DEEPSEEK = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "max_position_embeddings": 64,
    "kv_lora_rank": 20,
    "q_lora_rank": 28,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 14,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 1.5,
}
LLAMA_4 = {
    **LLAMA,
    "num_hidden_layers": 5,
    "intermediate_size_mlp": 72,
    "num_local_experts": 5,
    "num_experts_per_tok": 1,
    "no_rope_layer_interval": 3,
    "attention_chunk_size": 5,
    "floor_scale": 4,
    "attn_scale": 0.3,
}
SCALED = {"rope_parameters": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.9, "beta_fast": 8.0}}

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", LLAMA),
    "llama, biases": ("llama", {**LLAMA, "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "llama, tied, one KV head": ("llama", {**LLAMA, "tie_word_embeddings": True, "num_key_value_heads": 1}),
    "llama, llama3 scaling": ("llama", {**LLAMA, "rope_parameters": LLAMA_3}),
    "llama, linear scaling": (
        "llama",
        {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}},
    ),
    "llama, yarn scaling": ("llama", {**LLAMA, "rope_parameters": YARN}),
    "llama, yarn scaling, not truncated": (
        "llama",
        {**LLAMA, "rope_parameters": {**YARN, "truncate": False, "beta_fast": 16.0, "attention_factor": 1.2}},
    ),
    "mistral": ("mistral", {**LLAMA, "sliding_window": None}),
    "mistral, window": ("mistral", {**LLAMA, "sliding_window": 5}),
    "qwen2": ("qwen2", WITHOUT_HEAD_SIZE),
    "qwen2, late window": (
        "qwen2",
        {**WITHOUT_HEAD_SIZE, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen2_moe": (
        "qwen2_moe",
        {
            **WITHOUT_HEAD_SIZE,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 40,
        },
    ),
    "qwen3": ("qwen3", LLAMA),
    "qwen3, window": ("qwen3", {**LLAMA, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}),
    "gemma": ("gemma", {**LLAMA, "num_key_value_heads": 1}),
    "gemma2": ("gemma2", {**LLAMA, "sliding_window": 5, "query_pre_attn_scalar": 12}),
    "gemma2, hard caps": (
        "gemma2",
        {**LLAMA, "sliding_window": 5, "attn_logit_softcapping": 0.7, "final_logit_softcapping": 1.5},
    ),
    "gemma3": ("gemma3_text", {**LLAMA, "num_hidden_layers": 7, "sliding_window": 5, "query_pre_attn_scalar": 12}),
    "gemma3, scaled": (
        "gemma3_text",
        {
            **LLAMA,
            "num_hidden_layers": 7,
            "sliding_window": 5,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
    ),
    "phi3": ("phi3", {**WITHOUT_HEAD_SIZE, "pad_token_id": 0}),
    "phi3, partial": (
        "phi3",
        {
            **WITHOUT_HEAD_SIZE,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "pad_token_id": 0,
            "sliding_window": 6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.75},
        },
    ),
    "gpt2": ("gpt2", GPT),
    "gpt2, wide": ("gpt2", {**GPT, "n_inner": 70, "activation_function": "relu", "tie_word_embeddings": False}),
    "gptj": ("gptj", {**GPT, "rotary_dim": 6}),
    "gpt_neox": ("gpt_neox", NEOX),
    "gpt_neox, in line": ("gpt_neox", {**NEOX, "use_parallel_residual": False, "attention_bias": False}),
    "falcon 7b": ("falcon", FALCON),
    "falcon 40b": ("falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon 11b": (
        "falcon",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1, "bias": True},
    ),
    "falcon, in line": ("falcon", {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True}),
    "olmo2": ("olmo2", WITHOUT_HEAD_SIZE),
    "smollm3": ("smollm3", {**WITHOUT_HEAD_SIZE, "num_hidden_layers": 5, "pad_token_id": 0}),
    "starcoder2": ("starcoder2", WITHOUT_HEAD_SIZE),
    "starcoder2, window": ("starcoder2", {**WITHOUT_HEAD_SIZE, "sliding_window": 5, "use_bias": False}),
    "mixtral": ("mixtral", {**LLAMA, **EXPERTS}),
    "mixtral, window": ("mixtral", {**LLAMA, **EXPERTS, "sliding_window": 5, "num_experts_per_tok": 1}),
    "qwen3_moe": ("qwen3_moe", {**LLAMA, **EXPERTS, "moe_intermediate_size": 24}),
    "qwen3_moe, normalized": (
        "qwen3_moe",
        {**LLAMA, **EXPERTS, "moe_intermediate_size": 24, "num_experts_per_tok": 3, "norm_topk_prob": True},
    ),
    "gpt_oss": ("gpt_oss", {**LLAMA, **EXPERTS, "sliding_window": 5}),
    "deepseek_v2": ("deepseek_v2", {**DEEPSEEK, "topk_method": "group_limited_greedy"}),
    "deepseek_v2, lite": ("deepseek_v2", {**DEEPSEEK, "q_lora_rank": None, **SCALED}),
    "deepseek_v3": ("deepseek_v3", {**DEEPSEEK, "first_k_dense_replace": 2}),
    "deepseek_v3, scaled": ("deepseek_v3", {**DEEPSEEK, **SCALED, "attention_bias": True, "norm_topk_prob": False}),
    "deepseek_v3, halves": ("deepseek_v3", {**DEEPSEEK, "rope_interleave": False, "n_group": 1, "topk_group": 1}),
    "llama4": ("llama4_text", LLAMA_4),
    "llama4, every other": (
        "llama4_text",
        {**LLAMA_4, "interleave_moe_layer_step": 2, "use_qk_norm": False, "attn_temperature_tuning": False},
    ),
    "llama4, scaled": ("llama4_text", {**LLAMA_4, "num_experts_per_tok": 2, "rope_parameters": NO_BLEND}),
    "bitnet": ("bitnet", WITHOUT_HEAD_SIZE),
}


def make(model_type: str, fields: dict[str, object], folder: Path):
    """A random model, its norms and biases far from what they start as, saved in `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type, **{"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0, **fields}
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim > 1:
                parameter.copy_(0.25 * noise)
            else:
                parameter.add_(0.3 * noise)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.uniform_(0, 0.3)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(", ", "-").replace(" ", "_"))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """`transformers`' model, and ours of the folder that it saved."""
    folder = tmp_path_factory.mktemp("model")
    model = make(*CASES[request.param], folder)
    return model, api.load_model(folder)


@pytest.fixture
def session(pair) -> Callable[..., Session]:
    def session(batch: int = 1) -> Session:
        return plugins().backend(Executor).session(pair[1], batch=batch, context=64)

    return session


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def greedy(session: Session, prompts: list[list[int]]) -> list[list[int]]:
    tokens: list[list[int]] = [[] for _ in prompts]
    step = prompts
    for _ in range(STEPS):
        chosen = session.step(step)[:, -1].argmax(axis=-1).tolist()
        for sequence, token in zip(tokens, chosen, strict=True):
            sequence.append(token)
        step = [[token] for token in chosen]
    return tokens


def generate(model, prompts: list[list[int]]) -> list[list[int]]:
    """What `transformers` generates with its KV cache from prompts padded on the left."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.no_grad():
        output = model.generate(
            ids, attention_mask=mask, max_new_tokens=STEPS, do_sample=False, use_cache=True, pad_token_id=0
        )
    return output[:, longest:].tolist()


def test_prefill_logits(pair, session) -> None:
    import torch

    model, _ = pair
    for prompt in PROMPTS:
        with torch.no_grad():
            theirs = model(torch.tensor([prompt])).logits[0].numpy()
        assert_close(session().step([prompt], keep=len(prompt))[0], theirs)


def test_greedy_tokens(pair, session) -> None:
    model, _ = pair
    for prompt in PROMPTS:
        assert greedy(session(), [prompt]) == generate(model, [prompt])


def test_a_padded_batch(pair, session) -> None:
    model, _ = pair
    # Of padded prompts `transformers` takes the padding's places for positions when it tempers queries.
    tempered = getattr(model.config, "attn_temperature_tuning", False)
    theirs = [generate(model, [prompt])[0] for prompt in PROMPTS] if tempered else generate(model, PROMPTS)
    assert greedy(session(len(PROMPTS)), PROMPTS) == theirs


def test_a_file_of_the_model_without_its_head(tmp_path) -> None:
    """GPT-2 was published so: names without their prefix."""
    model = make(*CASES["gpt2"], tmp_path / "whole")
    model.base_model.save_pretrained(tmp_path / "body")
    whole, body = (
        plugins().backend(Executor).session(api.load_model(tmp_path / name)).step([PROMPTS[0]]).copy()
        for name in ("whole", "body")
    )
    np.testing.assert_array_equal(body, whole)


def test_attention_by_blocks_is_the_same(pair) -> None:
    """Windows, softcaps and sinks go through `block-attention`."""
    program = pair[1]
    blocked = api.compile(program, None, "block-attention{keys=3}")
    whole, parts = (
        plugins().backend(Executor).session(one, batch=3, context=64).step(PROMPTS).copy() for one in (program, blocked)
    )
    assert_close(parts, whole)


ROUTED = [
    name
    for name, (kind, _) in CASES.items()
    if kind in ("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "deepseek_v2", "deepseek_v3")
]


@pytest.mark.parametrize("pair", ROUTED, indirect=True)
def test_routed_mixtures(pair) -> None:
    """What `route-moe` makes of a mixture, experts on ranks of their own, against `transformers`' sum over them."""
    import torch

    model, program = pair
    (experts,) = {op.gate.type.get_shape()[0] for op in program.module.walk() if isinstance(op, MoEOp)}
    routed = api.compile(program, None, f"route-moe{{capacity={experts} parallel={experts}}}")
    session = plugins().backend(Executor).session(routed, context=64)
    for prompt in PROMPTS:
        session.reset()
        with torch.no_grad():
            theirs = model(torch.tensor([prompt])).logits[0].numpy()
        assert_close(session.step([prompt], keep=len(prompt))[0], theirs)
    assert isinstance(session, RoutedSession) and session.choices.made > session.choices.dropped == 0
