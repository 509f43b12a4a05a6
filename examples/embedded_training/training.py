"""The training loop."""

import math
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from embedded_training.network import LanguageModel, MixtureConfig


@dataclass(frozen=True)
class TrainingConfig:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), linear warmup, cosine decay to a fiftieth."""

    steps: int = 8000
    batch_size: int = 8
    context: int = 512
    learning_rate: float = 6e-3
    warmup_steps: int = 200
    weight_decay: float = 0.1  # of matrices; the norms' gains are left alone
    beta1: float = 0.9
    beta2: float = 0.98
    gradient_norm: float = 1.0
    seed: int = 0
    threads: int = 2

    def rate(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: LanguageModel, stream: Tensor, config: TrainingConfig) -> float:
    """The mean loss of the last hundred steps. A window begins anywhere in the stream and may cross chapters."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    gains = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": gains, "weight_decay": 0.0}],
        betas=(config.beta1, config.beta2),
    )
    balance = model.config.router_aux_loss_coef if isinstance(model.config, MixtureConfig) else 0.0
    window = torch.arange(config.context + 1)
    losses: list[float] = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        starts = torch.randint(len(stream) - config.context, (config.batch_size,))
        tokens = stream[starts[:, None] + window]
        loss = functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        balanced = loss + balance * model.imbalance() if balance else loss
        optimizer.zero_grad()
        balanced.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
        optimizer.step()
        losses.append(loss.item())
        if step % 200 == 0 or step + 1 == config.steps:
            print(
                f"step {step:5d}  loss {losses[-1]:.3f}  {time.process_time():.0f} CPU s", file=sys.stderr, flush=True
            )
    return sum(losses[-100:]) / len(losses[-100:])
