"""Decoders as users write them, of plain modules, each in a manner of its own."""

import math

import torch
import torch.nn.functional as functional
from torch import nn

VOCABULARY, HIDDEN, HEADS, KV_HEADS, LAYERS, CONTEXT = 61, 32, 4, 2, 2, 48
SIZE = HIDDEN // HEADS


class RMSNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return self.gain * (x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + self.eps))


class Rotated(nn.Module):
    """Rotary positions, norms and gates as small scripts have them; attention as torch's function."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = RMSNorm(HIDDEN), RMSNorm(HIDDEN)
        self.wq = nn.Linear(HIDDEN, HEADS * SIZE, bias=False)
        self.wkv = nn.Linear(HIDDEN, 2 * KV_HEADS * SIZE, bias=False)
        self.wo = nn.Linear(HEADS * SIZE, HIDDEN, bias=False)
        self.w1, self.w2 = nn.Linear(HIDDEN, 96, bias=False), nn.Linear(48, HIDDEN, bias=False)

    @staticmethod
    def turn(x):
        tokens = x.shape[2]
        frequencies = 500.0 ** (-torch.arange(0, SIZE, 2).float() / SIZE)
        angles = torch.outer(torch.arange(tokens).float(), frequencies)
        cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., : SIZE // 2], x[..., SIZE // 2 :]
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)

    def forward(self, x):
        batch, tokens, _ = x.shape
        h = self.norm_1(x)
        q = self.wq(h).view(batch, tokens, HEADS, SIZE).transpose(1, 2)
        k, v = self.wkv(h).view(batch, tokens, 2, KV_HEADS, SIZE).permute(2, 0, 3, 1, 4)
        k, v = (part.repeat_interleave(HEADS // KV_HEADS, dim=1) for part in (self.turn(k), v))
        out = functional.scaled_dot_product_attention(self.turn(q), k, v, is_causal=True)
        x = x + self.wo(out.transpose(1, 2).reshape(batch, tokens, -1))
        gate, up = self.w1(self.norm_2(x)).chunk(2, dim=-1)
        return x + self.w2(functional.gelu(gate) * up)


class Learned(nn.Module):
    """LayerNorm, softmax(q kᵀ) v written out with a mask that is a buffer."""

    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.mlp = nn.Sequential(
            nn.Linear(HIDDEN, 4 * HIDDEN), nn.GELU(approximate="tanh"), nn.Linear(4 * HIDDEN, HIDDEN)
        )
        self.drop = nn.Dropout(0.1)
        self.register_buffer("mask", torch.tril(torch.ones(2 * CONTEXT, 2 * CONTEXT))[None, None])

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.ln_1(x)).split(HIDDEN, dim=2)
        q, k, v = (part.view(batch, tokens, HEADS, SIZE).transpose(1, 2) for part in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(SIZE))
        scores = scores.masked_fill(self.mask[:, :, :tokens, :tokens] == 0, float("-inf"))
        y = self.drop(functional.softmax(scores, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(batch, tokens, HIDDEN)
        x = x + self.drop(self.out(y))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Pairs(nn.Module):
    """Rotary positions as complex numbers, heads that share keys through ``enable_gqa``, norms of torch."""

    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.RMSNorm(HIDDEN, eps=1e-6), nn.RMSNorm(HIDDEN, eps=1e-6)
        self.q_norm, self.k_norm = nn.RMSNorm(SIZE, eps=1e-6), nn.RMSNorm(SIZE, eps=1e-6)
        self.q = nn.Linear(HIDDEN, HEADS * SIZE)
        self.k, self.v = nn.Linear(HIDDEN, KV_HEADS * SIZE), nn.Linear(HIDDEN, KV_HEADS * SIZE)
        self.o = nn.Linear(HEADS * SIZE, HIDDEN)
        self.gate, self.up = nn.Linear(HIDDEN, 40), nn.Linear(HIDDEN, 40)
        self.down = nn.Linear(40, HIDDEN)

    @staticmethod
    def turn(x):
        frequencies = 1.0 / (10000.0 ** (torch.arange(0, SIZE, 2).float() / SIZE))
        angles = torch.outer(torch.arange(x.shape[1]).float(), frequencies)
        turns = torch.polar(torch.ones_like(angles), angles)[None, :, None]
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(3)

    def forward(self, x):
        batch, tokens, _ = x.shape
        h = self.attention_norm(x)
        q = self.turn(self.q_norm(self.q(h).view(batch, tokens, HEADS, SIZE)))
        k = self.turn(self.k_norm(self.k(h).view(batch, tokens, KV_HEADS, SIZE)))
        v = self.v(h).view(batch, tokens, KV_HEADS, SIZE)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(out.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class Summed(nn.Module):
    """Attention by ``einsum``, a window of five tokens, experts that are modules in a list."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = RMSNorm(HIDDEN), RMSNorm(HIDDEN)
        self.projections = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(4))
        self.router = nn.Linear(HIDDEN, 4, bias=False)
        self.experts = nn.ModuleList(
            nn.ModuleDict(
                {
                    "up": nn.Linear(HIDDEN, 24, bias=False),
                    "gate": nn.Linear(HIDDEN, 24, bias=False),
                    "down": nn.Linear(24, HIDDEN, bias=False),
                }
            )
            for _ in range(4)
        )

    def forward(self, x):
        batch, tokens, _ = x.shape
        h = self.norm_1(x)
        q, k, v = (p(h).view(batch, tokens, HEADS, SIZE) for p in self.projections[:3])
        q, k = (Rotated.turn(part.transpose(1, 2)).transpose(1, 2) for part in (q, k))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / SIZE**0.5
        distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None]
        seen = (distance >= 0) & (distance < 5)
        chances = torch.where(seen, scores, torch.tensor(-1e9)).softmax(-1)
        y = torch.einsum("bhqk,bkhd->bqhd", chances, v).reshape(batch, tokens, HIDDEN)
        x = x + self.projections[3](y)
        h = self.norm_2(x)
        weights, chosen = torch.topk(self.router(h).softmax(-1), 2)
        weights = weights / weights.sum(-1, keepdim=True)
        gates = torch.zeros(batch, tokens, 4).scatter(-1, chosen, weights)
        mixed = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            result = expert["down"](functional.silu(expert["gate"](h)) * expert["up"](h))
            mixed = mixed + gates[..., number : number + 1] * result
        return x + mixed


class Decoder(nn.Module):
    """Blocks of one kind between an embedding and a head."""

    def __init__(self, block, *, tied=False):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Embedding(2 * CONTEXT, HIDDEN) if block is Learned else None
        self.blocks = nn.ModuleList(block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(HIDDEN) if block is Learned else RMSNorm(HIDDEN, 1e-6 if block is Pairs else 1e-5)
        self.head = nn.Linear(HIDDEN, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def random_decoder(block, **options):
    """A decoder of `block` whose norms and biases are far from what they start as."""
    torch.manual_seed(0)
    model = Decoder(block, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(0.25 * noise) if parameter.ndim > 1 else parameter.add_(0.3 * noise)
    return model


def exported(model, *, fixed=False):
    """What ``torch.export`` makes of a model of token ids, of any number of sequences and tokens unless `fixed`."""
    tokens = torch.zeros(2, 7, dtype=torch.int64)
    shapes = None if fixed else ({0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("tokens", max=CONTEXT)},)
    return torch.export.export(model, (tokens,), dynamic_shapes=shapes, strict=False)
