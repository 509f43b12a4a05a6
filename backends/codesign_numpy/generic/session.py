"""Runs a decoder of generic operators token by token: finds what its inputs are for, and carries its cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue

from codesign.errors import CodesignError
from codesign.plugins.backend import FloatArray, Tokens
from codesign.program import Program
from codesign_dialects.generic import INPUTS, OUTPUTS
from codesign_numpy.generic.arrays import Array, element_type, is_float
from codesign_numpy.generic.run import evaluate, main_of, names_of


@dataclass(frozen=True)
class Roles:
    """What the inputs and outputs of a decoder are for, by their names; `caches` pairs what was kept with what is."""

    tokens: str
    mask: str | None
    positions: str | None
    kept: str | None
    caches: tuple[tuple[str, str], ...]
    logits: str


def roles_of(function: FuncOp) -> Roles:
    """The roles in a graph whose inputs are token ids and whose outputs are logits, with or without a cache.

    Of the integer inputs one whose name says so is the mask of what is padding, the positions, or how many logits to
    keep; the one that is left are the tokens. Inputs of floats are the cache, and so are in the same order the outputs
    that are not the logits.

    Raises
    ------
    CodesignError
        Where the graph is not of this form: what it takes and gives instead.
    """
    inputs = dict(zip(names_of(function, INPUTS), function.body.block.args, strict=True))
    terminator = function.body.block.last_op
    assert terminator is not None
    outputs = dict(zip(names_of(function, OUTPUTS), terminator.operands, strict=True))
    whole = {name for name, value in inputs.items() if not is_float(_element(value))}
    named = {part: [name for name in inputs if part in name and name in whole] for part in ("mask", "position", "keep")}
    tokens = [name for name in whole if not any(name in found for found in named.values())]
    logits = [name for name, value in outputs.items() if is_float(_element(value))]
    logits = [name for name in logits if "logits" in name] or logits[:1]
    past = [name for name in inputs if name not in whole]
    present = [name for name in outputs if name not in logits[:1]]
    if len(tokens) != 1 or not logits or len(past) != len(present) or any(len(found) > 1 for found in named.values()):
        raise CodesignError(
            f"this graph is no decoder, which takes token ids and gives logits: it takes {_listed(inputs)} and gives "
            f"{_listed(outputs)}; `codesign compute` runs any graph"
        )
    mask, positions, kept = (found[0] if found else None for found in named.values())
    return Roles(tokens[0], mask, positions, kept, tuple(zip(past, present, strict=True)), logits[0])


def _listed(values: Mapping[str, SSAValue]) -> str:
    return ", ".join(f"{name} ({value.type})" for name, value in list(values.items())[:8]) or "nothing"


def _element(value: SSAValue) -> "np.dtype[Any]":
    return element_type(cast("TensorType[Any]", value.type).element_type)


class TensorSession:
    """A decoder of generic operators with its context: in its cache where it has one, else as all tokens so far."""

    def __init__(self, program: Program, *, batch: int = 1):
        self._program, self._batch = program, batch
        function = main_of(program)
        self._roles = roles_of(function)
        names = names_of(function, INPUTS)
        self._types: dict[str, Attribute] = dict(zip(names, function.body.block.arg_types, strict=True))
        self._empty = {name: self._empty_cache(name) for name, _ in self._roles.caches}
        self.reset()

    def reset(self) -> None:
        """Forget the context."""
        self._caches = dict(self._empty)
        self._tokens = np.zeros((self._batch, 0), np.int64)

    def step(self, tokens: Tokens, *, keep: int = 1) -> FloatArray:
        """Append `tokens`, a list for each sequence and all of one length, and return the logits
        ``[batch, keep, vocabulary]`` of the last `keep`.

        Raises
        ------
        CodesignError
            When the lists are empty or not of one length, or the graph does not take them.
        """
        lengths = {len(sequence) for sequence in tokens}
        if len(tokens) != self._batch or len(lengths) != 1 or 0 in lengths:
            raise CodesignError(
                f"a step takes as many tokens, at least one, for each of {self._batch} sequences; got {list(lengths)}"
            )
        roles, new = self._roles, np.array(tokens, np.int64)
        past = self._tokens.shape[1]
        self._tokens = np.concatenate([self._tokens, new], 1)
        # Without a cache every step begins anew.
        first, given = (past, new) if roles.caches else (0, self._tokens)
        values: dict[str, Array] = {roles.tokens: given, **self._caches}
        total = first + given.shape[1]
        if roles.mask is not None:
            values[roles.mask] = np.ones((self._batch, total), np.int64)
        if roles.positions is not None:
            positions = np.arange(first, total, dtype=np.int64)
            values[roles.positions] = (
                positions if self._rank(roles.positions) == 1 else np.tile(positions, (self._batch, 1))
            )
        if roles.kept is not None:
            values[roles.kept] = np.full((1,) * self._rank(roles.kept), keep)
        inputs = {name: value.astype(self._dtype(name), copy=False) for name, value in values.items()}
        outputs = evaluate(self._program, inputs)
        self._caches = {past: outputs[present] for past, present in roles.caches}
        logits = outputs[roles.logits].astype(np.float32, copy=False)
        logits = logits.reshape(self._batch, -1, logits.shape[-1])
        if keep > logits.shape[1]:
            raise CodesignError(f"the graph gives logits of {logits.shape[1]} tokens; {keep} are asked for")
        return logits[:, logits.shape[1] - keep :]

    def _dtype(self, name: str) -> "np.dtype[Any]":
        return element_type(cast("TensorType[Any]", self._types[name]).element_type)

    def _rank(self, name: str) -> int:
        type = self._types[name]
        return len(type.get_shape()) if isinstance(type, TensorType) else 2

    def _empty_cache(self, name: str) -> Array:
        """A cache of no tokens, ``[…, batch, heads, 0, size]``."""
        type = self._types[name]
        shape = list(type.get_shape()) if isinstance(type, TensorType) else []
        if len(shape) < 4 or DYNAMIC_INDEX in (*shape[:-4], shape[-3], shape[-1]) or shape[-2] != DYNAMIC_INDEX:
            raise CodesignError(
                f"the input {name} is a {type}: a cache is [batch, heads, tokens, size] with heads and size known and "
                "any number of tokens"
            )
        shape[-4], shape[-2] = self._batch, 0
        return np.zeros(shape, self._dtype(name))
