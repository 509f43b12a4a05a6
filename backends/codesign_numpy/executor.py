"""The executor as a backend, and the session in which a compiled program runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.dialects.func import FuncOp

from codesign.errors import CodesignError
from codesign.plugins import API_VERSION
from codesign.plugins.backend import AnyArray, Capabilities, Choices, LinearTrace, Observe, Session, Support, Tokens
from codesign.plugins.kernels import Kernels
from codesign.program import Program
from codesign_dialects.transformer import KVCacheType, RepeatOp
from codesign_dialects.transformer.shapes import features
from codesign_numpy.buffers import Floats
from codesign_numpy.kv_cache import Pool
from codesign_numpy.lowerings import LOWERINGS
from codesign_numpy.parameters import Parameters
from codesign_numpy.plan import Inputs, Plan, Trace, lower_step

PROMPT_PLANS = 2
"""Plans of whole prompts that a session keeps."""

OPERATIONS = Capabilities(operations=frozenset(operation.name for operation in LOWERINGS))


class NumpySession:
    """A compiled program with a KV cache for `batch` sequences of up to `context` tokens."""

    def __init__(
        self,
        program: Program,
        *,
        batch: int = 1,
        context: int = 0,
        trace: Trace | None = None,
        observe: Observe | None = None,
        kernels: Kernels | None = None,
    ):
        if program.batch not in (None, batch):
            raise CodesignError(f"{program.name} is specialized to batch={program.batch}; {batch} sequences are given")
        self._step, self._tokens = program.step, program.tokens
        type = self._step.body.block.args[-1].type
        assert isinstance(type, KVCacheType)
        self._parameters = Parameters(program)
        self._weights: dict[object, object] = {}
        self._plans: dict[tuple[int, int], tuple[Plan, Inputs, Floats]] = {}
        self._trace = trace
        self._observe = observe
        self._kernels = kernels
        self._context = _context(type, context)
        self._pool = Pool(type, batch, self._context)
        self._paged = type.page.data > 0
        self._past = np.zeros(batch, np.int64)
        self._choices = Choices(0, 0)
        terminator = self._step.body.block.last_op
        assert terminator is not None
        self._vocabulary = features(terminator.operands[0])

    @property
    def past(self) -> NDArray[np.int64]:
        """Tokens in each sequence's context."""
        return self._past.copy()

    @property
    def choices(self) -> Choices:
        """The choices of experts of all steps so far, where mixtures are routed."""
        return self._choices

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values that sequences hold, in float32: of the whole context each, or of their pages."""
        return self._pool.nbytes

    def reset(self, sequence: int | None = None) -> None:
        """Forget the context, of all sequences or of one."""
        for own in range(len(self._past)) if sequence is None else (sequence,):
            self._past[own] = 0
            if self._paged:
                self._pool.release(own)

    def step(self, tokens: Tokens, *, keep: int = 1) -> Floats:
        """Append `tokens`, a list for each sequence, and return the logits ``[batch, keep, vocabulary]`` of the last
        `keep`.

        Shorter lists are padded; the padding is never seen. The result is valid until the next step.

        Raises
        ------
        CodesignError
            When a list is empty, a token is not in the vocabulary, the context or the pool of pages is full.
        """
        lengths = self._check(tokens, keep)
        if self._paged:
            self._pool.grow(self._past + lengths)
        longest = max(lengths)
        key = (longest, keep)
        if key not in self._plans:
            inputs = Inputs(np.zeros((len(tokens), longest), np.int64), self._past, np.zeros(len(tokens), np.int64))
            plan = Plan(
                LOWERINGS,
                self._parameters,
                self._weights,
                inputs,
                keep,
                self._context,
                self._kernels,
                self._trace,
                self._observe,
            )
            logits = lower_step(plan, self._step, self._pool.cache)
            self._keep_plan(key, (plan, inputs, logits))
        plan, inputs, logits = self._plans[key]
        for row, sequence in zip(inputs.tokens, tokens, strict=True):
            row[:] = 0
            row[: len(sequence)] = sequence
        inputs.lengths[:] = lengths
        plan.run()
        self._past += inputs.lengths
        made, dropped = (int(count) for count in sum(plan.choices, np.zeros(2, np.int64)))
        self._choices = Choices(self._choices.made + made, self._choices.dropped + dropped)
        return logits

    def _keep_plan(self, key: tuple[int, int], plan: tuple[Plan, Inputs, Floats]) -> None:
        # Prompts come in all lengths and their buffers are large: beside single tokens keep the last few lengths.
        prompts = [kept for kept in self._plans if kept[0] > 1]
        for oldest in prompts[: len(prompts) - PROMPT_PLANS + 1]:
            del self._plans[oldest]
        self._plans[key] = plan

    def _check(self, tokens: Tokens, keep: int) -> list[int]:
        batch = len(self._past)
        lengths = [len(sequence) for sequence in tokens]
        if len(lengths) != batch or min(lengths) < 1:
            raise CodesignError(f"a step takes at least one token for each of {batch} sequences, got {lengths}")
        for sequence in tokens:
            for token in sequence:
                if not 0 <= token < self._vocabulary:
                    raise CodesignError(f"token {token} is not in the vocabulary of {self._vocabulary}")
        if self._tokens not in (None, max(lengths)):
            raise CodesignError(
                f"the program is specialized to tokens={self._tokens}, and a step gives {max(lengths)}: "
                "specialize{batch= context=} leaves the tokens of a step open"
            )
        if not 1 <= keep <= max(lengths):
            raise CodesignError(f"keep must be 1 to {max(lengths)}, got {keep}")
        end = int(self._past.max()) + max(lengths)
        if end > self._context:
            raise CodesignError(
                f"the context is full: {end} tokens are needed, {self._context} fit (short by {end - self._context})"
            )
        return lengths


def _context(type: KVCacheType, asked: int) -> int:
    """Positions to keep for each sequence: those asked for, or the model's own when `asked` is 0."""
    if not asked and type.context.data == DYNAMIC_INDEX:
        raise CodesignError("the model states no context: say how many tokens to keep")
    return asked or type.context.data


@dataclass(frozen=True)
class NumpyExecutor:
    """The NumPy backend, alone or with somebody's kernels for single tokens."""

    name: str = "numpy"
    description: str = "runs a program: text, logits, traces"
    api_version: int = API_VERSION
    capabilities: Capabilities = OPERATIONS
    kernels: Callable[[], Kernels] | None = None

    def supports(self, program: Program) -> Support:
        """Whether every operation of the step and its layers can run."""
        known = self.capabilities.operations or frozenset()
        functions = [op for op in program.module.ops if isinstance(op, FuncOp)]
        unknown = {op.name for function in functions for op in function.body.walk() if op.name not in known}
        return Support(tuple(f"{name}: the NumPy executor has no code for it" for name in sorted(unknown)))

    def session(self, program: Program, *, batch: int = 1, context: int = 0, observe: Observe | None = None) -> Session:
        """Compile `program` for `batch` sequences of up to `context` tokens (0: the model's own).

        A decoder of generic operators is run as it is, of any context; nothing of it is observed.
        """
        if program.is_of_tensors:
            from codesign_numpy.generic.session import TensorSession

            return TensorSession(program, batch=batch)
        self._refuse_unsupported(program)
        kernels = None if self.kernels is None else self.kernels()
        return NumpySession(program, batch=batch, context=context, observe=observe, kernels=kernels)

    def evaluate(self, program: Program, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """The outputs by name of a program of generic operators; `inputs` are arrays by name.

        Raises
        ------
        CodesignError
            When an input is not of the type that the function states, or an operator cannot run.
        """
        from codesign_numpy.generic.run import evaluate

        return evaluate(program, inputs)

    def trace(self, program: Program, tokens: Sequence[int], *, layer: int) -> list[LinearTrace]:
        """Run `tokens` through the model and return the integer linear operations of `layer` as they ran.

        Raises
        ------
        CodesignError
            When the program has no such layer, or none of its linear operations is on integers.
        """
        self._refuse_unsupported(program)
        layers = [index for op in program.step.walk() if isinstance(op, RepeatOp) for index in op.layers]
        if layer not in layers:
            raise CodesignError(f"{program.name} has layers 0 to {max(layers, default=0)}; there is no layer {layer}")
        trace = Trace(layer)
        NumpySession(program, context=len(tokens), trace=trace).step([tokens])
        if not trace.records:
            raise CodesignError(
                "no linear operation is on integers: run the pass quantize{weights=int8 activations=int8} first"
            )
        return trace.records

    def _refuse_unsupported(self, program: Program) -> None:
        support = self.supports(program)
        if not support:
            raise CodesignError("; ".join(support.reasons))
