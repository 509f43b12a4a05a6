"""``fuse``: fewer, larger operations that compute the same."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Block, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError, nearest
from codesign.linear_weights import weight_name
from codesign.passes.weight_tensors import Place, WeightReader, own_source
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import AddOp, GetOp, LinearOp, ParameterOp, RMSNormOp, SplitOp
from codesign_dialects.transformer.parameters import EXPERT
from codesign_dialects.transformer.shapes import features
from codesign_dialects.transformer.view import View, ViewAttr

KINDS = ("norms", "products", "residuals")


@dataclass(frozen=True)
class FusePass(ProgramPass):
    """Fuse what runs together, all kinds or those that `only` names.

    ``norms``: the weight of an RMSNorm goes into the columns of the linear weights that read it, where these are plain
    float32. ``products``: linear operations that read the same input (query, key and value; gate and up) become one
    over their joined weights, whose result is split; stored bytes stay where they are. ``residuals``: a sum with the
    result of a linear operation becomes part of it.
    """

    name = "fuse"

    only: tuple[str, ...] = KINDS

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Rewrite the module; weights that a norm goes into are replaced by copies."""
        for kind in self.only:
            if kind not in KINDS:
                raise CodesignError(f"fuse: only={kind} is not known; known: {', '.join(KINDS)}.{nearest(kind, KINDS)}")
        read = set(_readers(program))
        if "norms" in self.only:
            if program.weights is None and program.source is not None:
                raise CodesignError(
                    f"fuse: a norm's weight goes into other weights, and those of {program.source} are not at hand "
                    "where only text is; run, eval and emit have them with -p; or take only=products,residuals"
                )
            program = _fuse_norms(program)
        if "products" in self.only:
            _fuse_products(program)
        if "residuals" in self.only:
            _fuse_residuals(program.module)
        drop_unread(program, read)
        return program


def drop_unread(program: Program, read: Iterable[str]) -> None:
    """Drop what of the parameters `read` before is not read any more."""
    for op in [op for op in program.module.walk() if isinstance(op, GetOp) and not op.result.uses]:
        Rewriter.erase_op(op)
    for name in set(read) - set(_readers(program)):
        Rewriter.erase_op(program.parameters[name])


def _readers(program: Program) -> dict[str, list[tuple[GetOp, object]]]:
    """Each parameter's readings: where it is read, and by which operation."""
    readers: dict[str, list[tuple[GetOp, object]]] = defaultdict(list)
    for op in program.module.walk():
        if isinstance(op, GetOp):
            readers[op.parameter.string_value()] += [(op, use.operation) for use in op.result.uses]
    return readers


def _fuse_norms(program: Program) -> Program:
    readers = _readers(program)
    replaced: dict[str, StoredTensor] = {}
    for norm, uses in list(readers.items()):
        norms = [user for get, user in uses if isinstance(user, RMSNormOp) and user.weight is get.result]
        if not norms or len(norms) < len(uses) or len({op.weight_offset for op in norms}) > 1:
            continue
        weights = _weights_behind(norms)
        if weights is None or not all(_foldable(program.parameters[name], readers[name], norms) for name in weights):
            continue
        for name in weights:
            replaced |= _scaled(program, name, norm, norms[0].weight_offset)
        for op in norms:
            fused = RMSNormOp(op.input, None, op.epsilon.value.data)
            Rewriter.replace_op(op, fused)
    return Program(program.module, None if program.weights is None else {**program.weights, **replaced})


def _weights_behind(norms: Sequence[RMSNormOp]) -> dict[str, None] | None:
    """The linear weights that read `norms` alone, None where something else reads one."""
    names: dict[str, None] = {}
    for op in norms:
        if op.groups > 1:
            return None
        for use in op.result.uses:
            name = weight_name(use.operation.weight) if isinstance(use.operation, LinearOp) else None
            if name is None or use.operation.operands[0] is not op.result:
                return None
            names[name] = None
    return names


def _foldable(parameter: ParameterOp, uses: Iterable[tuple[GetOp, object]], norms: Sequence[RMSNormOp]) -> bool:
    """Whether `parameter` multiplies the results of `norms` and nothing else, and holds plain float32."""
    results = [op.result for op in norms]
    read = all(isinstance(user, LinearOp) and any(user.input is result for result in results) for _, user in uses)
    derived = parameter.derivation is not None and parameter.derivation.data == "quantize"
    return read and not derived and encoding_of(parameter.type) == Encoding(FLOAT32)


def _scaled(program: Program, name: str, norm: str, offset: float) -> dict[str, StoredTensor]:
    """The columns of a parameter's layers times a norm's weight, under sources of its own."""
    parameter, reader = program.parameters[name], WeightReader(program)
    layers = parameter.layers
    values = {}
    if program.weights is not None:
        values = {
            layer: reader.float32(Place(name, layer)) * (reader.float32(Place(norm, layer)) + np.float32(offset))
            for layer in layers
        }
    own_source(parameter)
    tensors: dict[str, StoredTensor] = {}
    for layer, own in values.items():
        (source,) = parameter.sources_of(layer)
        tensors[source] = StoredTensor(source, own.shape, "float32", own.reshape(-1).view(np.uint8))
    return tensors


def _fuse_products(program: Program) -> None:
    joined: dict[tuple[str, ...], ParameterOp] = {}
    for block in {op.parent_block(): None for op in program.module.walk() if isinstance(op, LinearOp)}:
        assert block is not None
        for group in _groups(block, program):
            _join_products(group, program, joined)


def _groups(block: Block, program: Program) -> list[list[LinearOp]]:
    """The linear operations of a block that can run as one: same input, alike weights, all with a bias or none."""
    groups: dict[object, list[LinearOp]] = defaultdict(list)
    for op in block.ops:
        if isinstance(op, LinearOp) and op.residual is None and isinstance(op.weight.owner, GetOp):
            parameter = program.parameters[op.weight.owner.parameter.string_value()]
            encoding, by = encoding_of(parameter.type), parameter.derivation
            if not encoding.per_tensor and (op.bias is None or isinstance(op.bias.owner, GetOp)):
                groups[op.input, str(encoding), by, op.bias is None, op.weight.owner.layer].append(op)
    return [group for group in groups.values() if len(group) > 1 and _joinable(group, program)]


def _joinable(group: Sequence[LinearOp], program: Program) -> bool:
    parameters = [_parameters(values, program) for values in _operands(group)]
    return all(_whole(own) or _neighbors(own) is not None for own in parameters)


def _operands(group: Sequence[LinearOp]) -> list[list[SSAValue]]:
    """The weights of a group, and its biases where it has them."""
    biases = [op.bias for op in group if op.bias is not None]
    return [[op.weight for op in group], *([biases] if biases else [])]


def _parameters(values: Iterable[SSAValue], program: Program) -> list[ParameterOp]:
    names = [weight_name(value) for value in values]
    return [program.parameters[name] for name in names if name is not None]


def _whole(parameters: Iterable[ParameterOp]) -> bool:
    return all(own.view is None and own.joined is None and EXPERT not in own.source.data for own in parameters)


def _neighbors(parameters: Sequence[ParameterOp]) -> View | None:
    """The one view that parameters are together which are parts of one tensor, one behind the other."""
    views = [own.view.data for own in parameters if own.view is not None]
    if len(views) < len(parameters) or len({own.source for own in parameters}) > 1:
        return None
    first, count = views[0], 0
    for view in views:
        if view != replace(first, first=first.first + count, count=view.count) or not view.count or view.groups > 1:
            return None
        count += view.count
    return replace(first, count=count) if first.axis == 0 else None


def _join_products(group: Sequence[LinearOp], program: Program, joined: dict[tuple[str, ...], ParameterOp]) -> None:
    first = group[0]
    gets: list[GetOp] = []
    for values in _operands(group):
        owner = values[0].owner
        assert isinstance(owner, GetOp)
        gets.append(GetOp(_joined(_parameters(values, program), joined), owner.layer))
    weight, *bias = (get.result for get in gets)
    linear = LinearOp(first.input, weight, *bias)
    split = SplitOp(linear.result, [features(op.result) for op in group])
    Rewriter.insert_op([*gets, linear, split], InsertPoint.before(first))
    for op, part in zip(group, split.parts, strict=True):
        Rewriter.replace_op(op, [], [part])


def _joined(parameters: Sequence[ParameterOp], joined: dict[tuple[str, ...], ParameterOp]) -> ParameterOp:
    """The parameter whose rows are those of `parameters`, one below the other; made once."""
    names = tuple(own.sym_name.data for own in parameters)
    if names in joined:
        return joined[names]
    first = parameters[0]
    axis = int(first.stacked)
    shape = list(first.type.get_shape())
    shape[axis] = sum(own.type.get_shape()[axis] for own in parameters)
    prefix = names[0].rpartition(".")[0]
    name = "_".join(own.rpartition(".")[2] for own in names)
    parameter = ParameterOp(
        f"{prefix}.{name}" if prefix else name,
        TensorType(first.type.element_type, shape, first.type.encoding),
        first.source.data,
        None if first.derivation is None else first.derivation.data,
        joined=() if first.view is not None else [own.source.data for own in parameters[1:]],
    )
    parameter.first, parameter.stride = first.first, first.stride
    view = _neighbors(parameters)
    parameter.view = None if view is None else ViewAttr(view)
    Rewriter.insert_op(parameter, InsertPoint.before(first))
    joined[names] = parameter
    return parameter


def _fuse_residuals(module: ModuleOp) -> None:
    for op in [op for op in module.walk() if isinstance(op, AddOp)]:
        for product, residual in ((op.right, op.left), (op.left, op.right)):
            linear = product.owner
            if not isinstance(linear, LinearOp) or linear.residual is not None or not product.has_one_use():
                continue
            fused = LinearOp(linear.input, linear.weight, linear.bias, residual)
            Rewriter.replace_op(op, fused)
            Rewriter.erase_op(linear)
            break
