"""Programs that ``torch.export`` makes: seven families of `transformers`, and decoders that users write.

All compute what they compute in torch; a family's is lifted to what its Hugging Face folder is.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.frontends.torch_export.file import read
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign_dialects.generic import ApplyOp
from codesign_dialects.transformer import RotaryOp

pytestmark = pytest.mark.nightly

LLAMA = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
}  # fmt: skip
EXPERTS = {"num_local_experts": 5, "num_experts": 5, "num_experts_per_tok": 2}
LATENT = {
    "kv_lora_rank": 16, "q_lora_rank": 12, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14,
    "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 3, "moe_intermediate_size": 24,
    "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5,
}  # fmt: skip
LLAMA_3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 5e5,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6, "original_max_position_embeddings": 32768}
FAMILIES = {
    "llama": LLAMA,
    "llama, 3.1": {**LLAMA, "head_dim": 16, "rope_parameters": LLAMA_3},
    "qwen3, YaRN": {**LLAMA, "head_dim": 16, "rope_parameters": YARN},
    "qwen3": LLAMA,
    "gemma3_text": {**LLAMA, "num_hidden_layers": 7, "sliding_window": 5, "query_pre_attn_scalar": 12},
    "gpt2": {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "mixtral": {**LLAMA, **EXPERTS},
    "qwen3_moe": {**LLAMA, **EXPERTS, "moe_intermediate_size": 24},
    "deepseek_v3": {
        **{key: value for key, value in LLAMA.items() if key != "head_dim"},
        "num_key_value_heads": 4,
        **LATENT,
    },
}
BLOCKS = ("Rotated", "Learned", "Pairs", "Summed")
IDS = np.random.default_rng(0).integers(0, 60, (2, 11))


def logits_of(program):
    session = plugins().backend(Executor).session(program, batch=len(IDS), context=32)
    return session.step(IDS.tolist(), keep=IDS.shape[1])


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def family(kind, folder):
    """A random model of a family, saved in `folder`, and its program for token ids."""
    import torch
    from torch.export import Dim
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind.split(",")[0], **{"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0, **FAMILIES[kind]}
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval().float()
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("batched_mm")
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(0.25 * noise) if parameter.ndim > 1 else parameter.add_(0.3 * noise)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.uniform_(0, 0.3)
    model.save_pretrained(folder)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(input_ids=ids, use_cache=False).logits

    shapes = {"ids": {0: Dim("batch", max=64), 1: Dim("tokens", min=2, max=64)}}
    program = torch.export.export(
        Logits(), (torch.zeros(2, 7, dtype=torch.int64),), dynamic_shapes=shapes, strict=False
    )
    with torch.no_grad():
        return program, model(torch.tensor(IDS)).logits.numpy()


def _scalings(program):
    """The kinds of scaled rotary frequencies."""
    return {op.scaling.data.__class__ for op in program.module.walk() if isinstance(op, RotaryOp) and op.scaling}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_is_what_its_folder_is(kind, tmp_path):
    import torch

    program, wanted = family(kind, tmp_path / "folder")
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    graph, context = read(path)
    assert context == 64
    (computed,) = api.compute(graph, {"ids": IDS}).values()
    assert_close(computed, wanted)
    lifted, folder = api.load_model(path), api.load_model(tmp_path / "folder")
    assert Counter(op.name for op in lifted.module.walk()) == Counter(op.name for op in folder.module.walk())
    assert_close(logits_of(lifted), wanted)
    assert_close(logits_of(lifted), logits_of(folder))
    assert _scalings(lifted) == _scalings(folder)
    quantized = api.compile(lifted, None, "quantize{weights=int8},fuse")
    assert list(api.run(quantized, [1, 2, 3], max_tokens=4).tokens)


@pytest.mark.parametrize("fixed", [False, True], ids=["any length", "one length"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_decoder_of_plain_modules_comes_through(block, fixed):
    import torch

    from tests.frontends.torch_export import modules

    model = modules.random_decoder(getattr(modules, block), tied=block == "Learned")
    program = api.load_model(modules.exported(model, fixed=fixed))
    assert "codesign.lifted" in program.module.attributes, program.module.attributes
    assert not [op for op in program.module.walk() if isinstance(op, ApplyOp)]
    with torch.no_grad():
        assert_close(logits_of(program), model(torch.tensor(IDS)).numpy())
    tokens = IDS[:1, :4].tolist()[0]
    for _ in range(5):
        with torch.no_grad():
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    assert list(api.run(program, tokens[:4], max_tokens=5).tokens) == tokens[4:]


def test_what_is_no_decoder_still_computes(tmp_path):
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

        def forward(self, x):
            return torch.log_softmax(self.layers(x), dim=-1)

    model = Classifier().eval()
    path = tmp_path / "model.pt2"
    x = torch.randn(4, 6)
    torch.export.save(torch.export.export(model, (x,)), path)
    program = api.load_model(path)
    assert "codesign.not_lifted" in program.module.attributes
    (ours,) = api.compute(program, {"x": x.numpy()}).values()
    np.testing.assert_allclose(ours, model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_page_s_example_runs(capsys):
    import torch

    from tests.frontends.torch_export import modules

    page = (Path(__file__).parents[3] / "docs" / "torch.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    # The model of the test has fewer positions than that of the page.
    exec(example.replace("max=1024", "max=48"), {"model": modules.random_decoder(modules.Rotated), "torch": torch})
    assert len(re.findall(r"\d+", capsys.readouterr().out)) == 8


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_model_of_fewer_bits(precision):
    import torch

    from tests.frontends.torch_export import modules

    model = modules.random_decoder(modules.Rotated).to(getattr(torch, precision))
    program = api.load_model(modules.exported(model))
    assert "codesign.lifted" in program.module.attributes, program.module.attributes
    with torch.no_grad():
        theirs = model(torch.tensor(IDS)).float().numpy()
    assert np.abs(logits_of(program) - theirs).max() <= 0.06 * np.abs(theirs).max()
