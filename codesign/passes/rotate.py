"""``rotate``: turn the residual stream, so that no channel of it is much stronger than the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.linear_weights import store_as, weight_name
from codesign.numerics.float32 import Floats
from codesign.numerics.rotation import flat_rotation
from codesign.passes.fuse import drop_unread
from codesign.passes.residual_stream import ResidualStream
from codesign.passes.weight_tensors import Place, WeightReader, is_rounded, own_source
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import GetOp, LinearOp, ParameterOp, RMSNormOp
from codesign_dialects.transformer.parameters import EXPERT


@dataclass(frozen=True)
class RotatePass(ProgramPass):
    """Multiply the residual stream by an orthogonal matrix, folded into the weights that write and read it.

    The function stays, to the rounding of float32, and what a few channels carry is spread over all, which makes
    activations easier to quantize. RMSNorm commutes with a rotation once its weight is folded into the matrices behind
    it (Ashkboos et al., "QuaRot", 2024, section 4, stage 1a). A tied embedding becomes table and head, apart. Weights
    become float32; quantization comes after.
    """

    name = "rotate"

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Rewrite the module and the weights around the residual stream."""
        if program.weights is None and program.source is not None:
            raise CodesignError(
                f"rotate: the weights of {program.source} are needed, and IR read as text has none at hand: name the "
                "pass where the model is loaded, as in `codesign run MODEL -p`"
            )
        _untie(program.module, ResidualStream(program.module))
        stream = ResidualStream(program.module)
        norms = _norms_before(stream)
        changed = {**dict.fromkeys(sorted(stream.tables | stream.writers | stream.biases)), **norms}
        for name in changed:
            _refuse(program, program.parameters[name])
        rotation = _Rotation(program, stream, norms)
        weights: dict[str, StoredTensor] = {}
        for name in changed:
            weights |= rotation.replaced(name)
        gains = {gain for op in stream.norms if (gain := _gain(op)) is not None}
        for op in stream.norms:
            Rewriter.replace_op(op, RMSNormOp(op.input, None, op.epsilon.value.data))
        drop_unread(program, gains)
        return Program(program.module, None if program.weights is None else {**program.weights, **weights})


def _untie(module: ModuleOp, stream: ResidualStream) -> None:
    """Give products with a table that enters the stream a parameter of their own."""
    for table in stream.tables:
        gets = [op for op in module.walk() if isinstance(op, GetOp) and op.parameter.string_value() == table]
        uses = [use for get in gets for use in get.result.uses if isinstance(use.operation, LinearOp)]
        if not uses:
            continue
        parameter = next(op for op in module.ops if isinstance(op, ParameterOp) and op.sym_name.data == table)
        head = parameter.clone()
        head.sym_name = StringAttr("head")
        Rewriter.insert_op(head, InsertPoint.after(parameter))
        for use in uses:
            get = GetOp(head)
            Rewriter.insert_op(get, InsertPoint.before(use.operation))
            use.operation.operands[use.index] = get.result


def _norms_before(stream: ResidualStream) -> dict[str, RMSNormOp]:
    """The norm before each weight that reads the stream."""
    norms: dict[str, RMSNormOp] = {}
    for op, readers in stream.norms.items():
        for name in readers:
            if name in norms and _gain(norms[name]) != _gain(op):
                raise CodesignError(f"rotate: @{name} is read behind two norms; each would go into it")
            norms[name] = op
    return norms


def _gain(norm: RMSNormOp) -> str | None:
    return None if norm.weight is None else weight_name(norm.weight)


def _refuse(program: Program, parameter: ParameterOp) -> None:
    name = parameter.sym_name.data
    if is_rounded(program, parameter):
        raise CodesignError(f"rotate: @{name} is quantized: rotate must come before quantize")
    if encoding_of(parameter.type).sparsity is not None:
        raise CodesignError(f"rotate: @{name} is sparse, and a rotation fills it: rotate must come before sparsify")


@dataclass(frozen=True, eq=False)
class _Rotation:
    """The matrix folded into the parameters around a stream, and the weights of `norms` into what they are before."""

    program: Program
    stream: ResidualStream
    norms: Mapping[str, RMSNormOp]

    @cached_property
    def _matrix(self) -> Floats:
        table = self.program.parameters[min(self.stream.tables)]
        return flat_rotation(table.type.get_shape()[-1])

    def _rotated(self, name: str, layer: int | None) -> Floats:
        reader = WeightReader(self.program)
        values, norm = reader.float32(Place(name, layer)), self.norms.get(name)
        gain = None if norm is None else _gain(norm)
        if norm is not None and gain is not None:
            values *= reader.float32(Place(gain, layer)) + np.float32(norm.weight_offset)
        if norm is not None or name in self.stream.tables | self.stream.biases:
            values = np.matmul(values, self._matrix)
        return np.matmul(self._matrix.T, values) if name in self.stream.writers else values

    def replaced(self, name: str) -> dict[str, StoredTensor]:
        """The tensors of a parameter, in float32, under sources of its own."""
        parameter, layers = self.program.parameters[name], list(self.program.parameters[name].layers)
        values = [] if self.program.weights is None else [self._rotated(name, layer) for layer in layers]
        own_source(parameter)
        store_as(self.program.module, name, Encoding(FLOAT32), None)
        tensors: dict[str, StoredTensor] = {}
        for layer, whole in zip(layers, values, strict=False):
            parts = whole if EXPERT in parameter.source.data else [whole]
            for source, own in zip(parameter.sources_of(layer), map(np.ascontiguousarray, parts), strict=True):
                tensors[source] = StoredTensor(source, own.shape, "float32", own.reshape(-1).view(np.uint8))
        return tensors
