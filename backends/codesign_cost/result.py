"""The answer of the cost model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class CostResult:
    """The price of one workload on one chip, or on several together.

    With a `concurrency` it is that of one request of so many in flight: `ttft_s` includes its waiting, `tpot_s` the
    steps that others' prompts take, both in the mean. `draft` tells of a draft model, and of the tokens that a round
    of drafting and verifying gives.

    `weights` is the encoding in which most bytes of the weights are stored.

    `tokens_per_second` counts the output tokens of all users over the whole request, prompt included;
    `tokens_per_second_per_user` is its share of each. `tpot_s` is the mean of the tokens after the first, None when
    there are none. `energy_per_token_j` is the request's joules over its output tokens, within `boundary`: the chips
    and their memory, or the whole system at its wall.
    `plan` tells the degrees of parallelism, as `codesign.plan.Plan` names them. Separate pools for prompts and
    generation each have a plan and a memory of their own: `pools` tells those in place of `plan` and `memory`, how busy
    each is and the most requests a second that it could answer, and the transfer between them; what the causes of a
    phase leave of its seconds is then waiting, and in decode the transfer.
    `money` tells of one chip what is paid for it, what it costs to build and to develop.
    `intervals` holds ``{"low", "high", "widest"}`` of each result that the chip's assumed figures leave open, the last
    the figure that moves it most.
    `bound` is what most of the request's time is spent on: compute, memory, latency or network.
    """

    model: str
    weights: str
    chip: str
    chips: int
    plan: Mapping[str, int]
    pools: Mapping[str, object] | None
    batch: int
    concurrency: int | None
    draft: Mapping[str, object] | None
    input: int
    output: int
    ttft_s: float
    tpot_s: float | None
    latency_s: float
    tokens_per_second: float
    tokens_per_second_per_user: float
    energy_per_token_j: float
    boundary: str
    power_w: float
    area_mm2: float
    area_published: bool
    usd_per_million_tokens: float
    usd_note: str
    money: Mapping[str, object]
    bound: str
    memory: Mapping[str, object]
    breakdown: Mapping[str, object]
    notes: tuple[str, ...]
    intervals: Mapping[str, object] = field(default_factory=dict[str, object])

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign cost``."""
        return asdict(self)
