"""How several chips divide a model among them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from codesign.errors import UsageError

Degrees = Mapping[str, int]
"""Degrees of parallelism by the names of :class:`Plan`; those left out are for the cost model to choose."""


@dataclass(frozen=True)
class Plan:
    """Degrees of parallelism: the chips at work are the product of all but `expert`.

    * `tensor` chips share every layer: heads, columns and rows of its matrices (Shoeybi et al., "Megatron-LM", 2019).
    * `sequence` parts hold the same weights and a part each of a sequence's tokens, keys and values (Liu et al., "Ring
      Attention with Blockwise Transformers", 2023).
    * `data` replicas answer a part each of the batch.
    * `pipeline` stages follow each other, a part of the layers on each (Huang et al., "GPipe", 2019).
    * `expert` chips of a stage hold each a part of a mixture's experts, whole, and tokens travel to them (Lepikhin et
      al., "GShard", 2020); at 1 experts are shared as other matrices are.

    Chips that exchange most stand nearest: those of `tensor` side by side, then `sequence`, `data`, `pipeline`.
    """

    tensor: int = 1
    sequence: int = 1
    data: int = 1
    pipeline: int = 1
    expert: int = 1

    def __post_init__(self) -> None:
        for name, degree in self.degrees.items():
            if degree < 1:
                raise UsageError(f"plan: {name} must be at least 1, got {degree}")
        if self.expert > 1 and (self.expert % self.tensor or self.stage % self.expert):
            raise UsageError(
                f"plan: experts stand on a multiple of the {self.tensor} chips of tensor that divides the "
                f"{self.stage} of a stage, got expert={self.expert}"
            )

    @property
    def degrees(self) -> Degrees:
        """All degrees by name."""
        return dict(vars(self))

    @property
    def stage(self) -> int:
        """Chips of one stage of the pipeline."""
        return self.tensor * self.sequence * self.data

    @property
    def chips(self) -> int:
        """Chips at work."""
        return self.stage * self.pipeline

    def of_replica(self, sequences: int) -> int:
        """Sequences of the replica that has the most of them."""
        return -(-sequences // self.data)

    def replicas(self, sequences: int) -> int:
        """Replicas that have any."""
        return -(-sequences // self.of_replica(sequences))

    @property
    def pool(self) -> float:
        """What the chips that hold one copy of the experts see of the tokens, in those of one replica."""
        return max(self.expert // self.tensor, 1) / self.sequence

    @property
    def expert_copies(self) -> int:
        """How often the experts of a layer are held."""
        return self.stage // max(self.expert, self.tensor)

    def __str__(self) -> str:
        return ", ".join(f"{name} {degree}" for name, degree in self.degrees.items() if degree > 1) or "one chip"


@dataclass(frozen=True)
class Pools:
    """Chips that work on prompts, and others that generate from the caches of those (disaggregated serving)."""

    prefill: int
    decode: int

    def __post_init__(self) -> None:
        for name, chips in asdict(self).items():
            if chips < 1:
                raise UsageError(f"pools: {name} must have at least 1 chip, got {chips}")

    @property
    def chips(self) -> int:
        """Chips of both."""
        return self.prefill + self.decode

    @classmethod
    def of(cls, chips: int) -> "tuple[Pools, ...]":
        """Every division of so many chips.

        Raises
        ------
        UsageError
            When there are fewer than two.
        """
        if chips < 2:
            raise UsageError(f"pools: two of them need at least 2 chips, got {chips}")
        return tuple(cls(prefill, chips - prefill) for prefill in range(1, chips))


DEGREES = tuple(field.name for field in fields(Plan))
"""The names of all degrees."""
