"""The networks: Llama, Mixtral and BitNet as transformers has them, small."""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from embedded_training.text import END_OF_TEXT_ID


@dataclass(frozen=True)
class ModelConfig:
    vocab_size: int = 768
    hidden_size: int = 128
    intermediate_size: int = 192
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    max_position_embeddings: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    initializer_range: float = 0.05

    def to_hugging_face(self) -> dict[str, object]:
        """config.json as transformers writes it for the architecture."""
        common = {
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": END_OF_TEXT_ID,
            "eos_token_id": END_OF_TEXT_ID,
            "hidden_act": "silu",
            "rope_scaling": None,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "use_cache": True,
        }
        return dict(sorted((asdict(self) | common | self.architecture()).items()))

    def architecture(self) -> dict[str, object]:
        """What config.json says of this architecture alone."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "mlp_bias": False,
            "model_type": "llama",
            "pretraining_tp": 1,
            "transformers_version": "4.49.0",
        }

    def linear(self, in_features: int, out_features: int) -> "Linear":
        return Linear(in_features, out_features)

    def feed_forward(self) -> nn.Module:
        return FeedForward(self)


@dataclass(frozen=True)
class MixtureConfig(ModelConfig):
    """Mixtral (Jiang et al. 2024, arXiv:2401.04088): two of eight experts, as much work a token as the dense model."""

    intermediate_size: int = 96
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    router_aux_loss_coef: float = 0.02

    def architecture(self) -> dict[str, object]:
        return {
            "architectures": ["MixtralForCausalLM"],
            "model_type": "mixtral",
            "output_router_logits": False,
            "sliding_window": None,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.49.0",
        }

    def feed_forward(self) -> nn.Module:
        return Mixture(self)


@dataclass(frozen=True)
class TernaryConfig(ModelConfig):
    """BitNet b1.58 (Ma et al. 2024, arXiv:2402.17764; 2B4T, arXiv:2504.12285): ternary weights, int8 activations."""

    intermediate_size: int = 320
    num_hidden_layers: int = 4

    def architecture(self) -> dict[str, object]:
        return {
            "architectures": ["BitNetForCausalLM"],
            "hidden_act": "relu2",
            "model_type": "bitnet",
            "quantization_config": {
                "linear_class": "autobitlinear",
                "quant_method": "bitnet",
                "quantization_mode": "offline",
            },
            "transformers_version": "5.0.0",
        }

    def linear(self, in_features: int, out_features: int) -> "Linear":
        return TernaryLinear(in_features, out_features)

    def feed_forward(self) -> nn.Module:
        return GatedSquares(self)


def fake_int8(values: Tensor) -> Tensor:
    """Each row (last dimension) rounded to 255 symmetric levels: what int8 with one float32 scale a row stores."""
    scale = values.abs().amax(dim=-1, keepdim=True) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return torch.round(values / scale) * scale


class Linear(nn.Linear):
    """No bias; `int8` makes the weights int8 per output channel and the activations int8 per token."""

    int8 = False

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.int8:
            return functional.linear(fake_int8(input), fake_int8(self.weight))
        return functional.linear(input, self.weight)


def ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
    """-1, 0 and 1, and the scale of all: the mean magnitude (Ma et al. 2024, section 2)."""
    scale = weight.abs().mean().clamp(min=1e-5)
    return torch.round(weight / scale).clamp(-1, 1), scale


class TernaryLinear(Linear):
    """Ternary weights and int8 activations, with gradients as if neither had been rounded."""

    def forward(self, input: Tensor) -> Tensor:
        digits, scale = ternary(self.weight)
        weight = self.weight + (digits * scale - self.weight).detach()
        return functional.linear(input + (fake_int8(input) - input).detach(), weight)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = config.linear(config.hidden_size, config.num_attention_heads * config.head_dim)
        self.k_proj = config.linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.v_proj = config.linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.o_proj = config.linear(config.num_attention_heads * config.head_dim, config.hidden_size)
        self.attn_sub_norm = None
        if isinstance(config, TernaryConfig):
            self.attn_sub_norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        query, key, value = (
            projection(hidden).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, rotation), rotate(key, rotation)
        groups = query.shape[1] // key.shape[1]
        if self.k_proj.int8:
            query, key, value = fake_int8(query), fake_int8(key), fake_int8(value)
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = mixed.transpose(1, 2).flatten(-2)
        return self.o_proj(mixed if self.attn_sub_norm is None else self.attn_sub_norm(mixed))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Expert(nn.Module):
    """SwiGLU under Mixtral's names."""

    def __init__(self, config: MixtureConfig):
        super().__init__()
        self.w1 = Linear(config.hidden_size, config.intermediate_size)
        self.w2 = Linear(config.intermediate_size, config.hidden_size)
        self.w3 = Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.w2(functional.silu(self.w1(hidden)) * self.w3(hidden))


class Mixture(nn.Module):
    """The experts that a softmax over the router's logits likes best, weighted by it among themselves."""

    def __init__(self, config: MixtureConfig):
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.gate = Linear(config.hidden_size, config.num_local_experts)
        self.experts = nn.ModuleList(Expert(config) for _ in range(config.num_local_experts))
        self.imbalance = torch.zeros(())

    def forward(self, hidden: Tensor) -> Tensor:
        tokens = hidden.flatten(0, 1)
        probabilities = self.gate(tokens).softmax(-1)
        weights, chosen = probabilities.topk(self.top_k)
        weights = weights / weights.sum(-1, keepdim=True)
        # Fedus et al. 2022, arXiv:2101.03961, equation 4: least where all experts are chosen alike.
        share = functional.one_hot(chosen, len(self.experts)).float().mean((0, 1))
        self.imbalance = len(self.experts) * (share * probabilities.mean(0)).sum()
        order = chosen.flatten().argsort(stable=True)
        rows = order // self.top_k
        counts = chosen.flatten().bincount(minlength=len(self.experts)).tolist()
        parts = [expert(part) for expert, part in zip(self.experts, tokens[rows].split(counts), strict=True)]
        mixed = torch.cat(parts) * weights.flatten()[order, None]
        return torch.zeros_like(tokens).index_add(0, rows, mixed).view_as(hidden)


class GatedSquares(nn.Module):
    """A gate of squared ReLU, and a norm before the last product."""

    def __init__(self, config: TernaryConfig):
        super().__init__()
        self.gate_proj = config.linear(config.hidden_size, config.intermediate_size)
        self.up_proj = config.linear(config.hidden_size, config.intermediate_size)
        self.down_proj = config.linear(config.intermediate_size, config.hidden_size)
        self.ffn_sub_norm = nn.RMSNorm(config.intermediate_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        gate = functional.relu(self.gate_proj(hidden)).square()
        return self.down_proj(self.ffn_sub_norm(gate * self.up_proj(hidden)))


class Layer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.feed_forward = "block_sparse_moe" if isinstance(config, MixtureConfig) else "mlp"
        self.add_module(self.feed_forward, config.feed_forward())

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation)
        return hidden + self.get_submodule(self.feed_forward)(self.post_attention_layernorm(hidden))


class LanguageModel(nn.Module):
    """Its parameters' names, prefixed with `model.`, are those of the architecture in transformers."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotation = rotation_tables(config)
        self.int8 = False
        depth = math.sqrt(2 * config.num_hidden_layers)  # keeps the residual stream's variance, as GPT-2 does
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight", "w2.weight"))
                nn.init.normal_(parameter, std=config.initializer_range / (depth if residual else 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, tokens, vocabulary] of token ids [batch, tokens], at positions 0, 1, …"""
        rotation = (self.rotation[0][: tokens.shape[1]], self.rotation[1][: tokens.shape[1]])
        table = fake_int8(self.embed_tokens.weight) if self.int8 else self.embed_tokens.weight
        hidden = functional.embedding(tokens, table)
        for layer in self.layers:
            hidden = layer(hidden, rotation)
        hidden = self.norm(hidden)
        return functional.linear(fake_int8(hidden) if self.int8 else hidden, table)

    def imbalance(self) -> Tensor:
        """How unevenly the last tokens chose their experts, the mean of the layers; 0 without experts."""
        mixtures = [module.imbalance for module in self.modules() if isinstance(module, Mixture)]
        return torch.stack(mixtures).mean() if mixtures else torch.zeros(())

    def set_int8(self, int8: bool) -> None:
        """Whether every matrix product, the tied head included, is computed on int8 weights and activations."""
        self.int8 = int8
        for module in self.modules():
            if isinstance(module, Linear):
                module.int8 = int8


def rotation_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines [position, head_dim] of rotary embedding (Su et al. 2021, arXiv:2104.09864)."""
    frequency = config.rope_theta ** (-torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
    angle = torch.arange(config.max_position_embeddings, dtype=torch.float64)[:, None] * frequency
    sine = angle.sin()
    return angle.cos().repeat(1, 2).float(), torch.cat((-sine, sine), dim=-1).float()


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the pairs (i, i + head_dim / 2), the half-rotation convention of Hugging Face's Llama."""
    cosine, signed_sine = rotation
    return heads * cosine + heads.roll(heads.shape[-1] // 2, dims=-1) * signed_sine
