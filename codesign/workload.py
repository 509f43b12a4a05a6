"""What is asked of a program."""

from dataclasses import dataclass

from codesign.errors import UsageError


@dataclass(frozen=True)
class Workload:
    """A request: `batch` sequences of `input` prompt tokens, each answered with `output` generated tokens.

    The prompt is worked on in steps of at most `chunk` tokens of each sequence, or all at once (Agrawal et al.,
    "SARATHI: Efficient LLM Inference by Piggybacking Decodes with Chunked Prefills", 2023).

    With `concurrency` such requests, of a single sequence, are served without end: so many are in flight, and a new one
    comes when one is answered (a closed loop). They join and leave the batch between its steps (Yu et al., "Orca: A
    Distributed Serving System for Transformer-Based Generative Models", OSDI 2022, section 3.1).

    `server` names the serving software that samples the tokens; where it is None the likeliest is taken at no cost.
    """

    batch: int = 1
    input: int = 512
    output: int = 128
    chunk: int | None = None
    concurrency: int | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "input", "output"):
            if getattr(self, name) < 1:
                raise UsageError(f"workload: {name} must be at least 1, got {getattr(self, name)}")
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"workload: chunk must be at least 1, got {self.chunk}")
        if self.concurrency is None:
            return
        if self.concurrency < 1:
            raise UsageError(f"workload: concurrency must be at least 1, got {self.concurrency}")
        if self.batch != 1:
            raise UsageError(
                f"workload: concurrency counts requests of one sequence each; expected batch 1, got {self.batch}"
            )

    @property
    def in_flight(self) -> int:
        """Sequences that have a KV cache at the same time."""
        return self.concurrency or self.batch

    @property
    def context(self) -> int:
        """Tokens in a sequence's KV cache when its last token is generated."""
        return self.input + self.output
