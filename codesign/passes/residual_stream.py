"""The residual stream of a decoder: the values that layers add to, and the weights that read and write it."""

from dataclasses import dataclass, field

from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.traits import SymbolTable

from codesign.errors import CodesignError
from codesign.linear_weights import weight_name
from codesign.passes.channel_scales import readers_of
from codesign_dialects.transformer import (
    AddOp,
    AllToAllOp,
    CombineOp,
    EmbeddingOp,
    ExpertLinearOp,
    LastTokensOp,
    LinearOp,
    MoEOp,
    RepeatOp,
    RMSNormOp,
    ScaleOp,
)


@dataclass(eq=False)
class ResidualStream:
    """Found from the embedding on: the tables whose rows enter it, the norms that read it with the weights behind each,
    and the weights and biases whose products are added to it.

    Raises
    ------
    CodesignError
        When something else reads or writes it: which operation, and what is read there.
    """

    module: ModuleOp
    tables: set[str] = field(default_factory=set[str])
    norms: dict[RMSNormOp, list[str]] = field(default_factory=dict["RMSNormOp", list[str]])
    writers: set[str] = field(default_factory=set[str])
    biases: set[str] = field(default_factory=set[str])
    _values: dict[SSAValue, None] = field(default_factory=dict["SSAValue", None])

    def __post_init__(self) -> None:
        for op in self.module.walk():
            if isinstance(op, EmbeddingOp):
                self.tables.add(_known(op.table, op))
                self._follow(op.result)
        for op in self.module.walk():
            if isinstance(op, AddOp) and op.result in self._values:
                for operand in op.operands:
                    if operand not in self._values:
                        self._write(operand)

    def _follow(self, value: SSAValue) -> None:
        """Take `value` into the stream, and what comes of it."""
        if value in self._values:
            return
        self._values[value] = None
        for use in value.uses:
            op = use.operation
            if isinstance(op, RMSNormOp) and op.groups == 1:
                self.norms[op] = _weights_behind(op)
            elif isinstance(op, AddOp | ScaleOp | LastTokensOp):
                self._follow(op.results[0])
            elif isinstance(op, LinearOp) and op.residual is value and op.input is not value:
                self._products(op)
                self._follow(op.result)
            elif isinstance(op, RepeatOp) and use.index < len(op.carried):
                function = SymbolTable.lookup_symbol(op, op.layer)
                assert isinstance(function, func.FuncOp)
                self._follow(function.body.block.args[1 + use.index])
            elif isinstance(op, func.ReturnOp):
                self._leave(op, use.index)
            else:
                raise CodesignError(f"rotate: {op.name} reads the residual stream; RMSNorm alone is known to")

    def _leave(self, end: func.ReturnOp, place: int) -> None:
        function = end.parent_op()
        assert isinstance(function, func.FuncOp)
        for op in self.module.walk():
            if isinstance(op, RepeatOp) and op.layer.string_value() == function.sym_name.data:
                self._follow(op.outputs[place])

    def _write(self, value: SSAValue) -> None:
        """Know the weights that make what is added to the stream."""
        op = value.owner
        if not value.has_one_use() or not isinstance(op, Operation):
            raise CodesignError("rotate: a value that is added to the residual stream is read elsewhere too")
        if isinstance(op, ExpertLinearOp) or (isinstance(op, LinearOp) and op.residual is None):
            self._products(op)
        elif isinstance(op, MoEOp):
            self.writers.add(_known(op.down, op))
            self.biases.update(_known(bias, op) for bias in op.biases[2:])
        elif isinstance(op, CombineOp | AllToAllOp | ScaleOp):
            self._write(op.input)
        elif isinstance(op, AddOp):
            self._write(op.left)
            self._write(op.right)
        else:
            raise CodesignError(
                f"rotate: the result of {op.name} is added to the residual stream; a product's alone is known to be"
            )

    def _products(self, op: LinearOp | ExpertLinearOp) -> None:
        self.writers.add(_known(op.weight, op))
        if op.bias is not None:
            self.biases.add(_known(op.bias, op))


def _weights_behind(norm: RMSNormOp) -> list[str]:
    names = list(readers_of(norm.result))
    known = [name for name in names if name is not None]
    if len(known) < len(names):
        users = ", ".join(dict.fromkeys(use.operation.name for use in norm.result.uses))
        raise CodesignError(
            f"rotate: a norm of the residual stream is read by {users}; products with weights alone are known to read "
            "it, so rotate must come before quantize"
        )
    return known


def _known(weight: SSAValue, op: Operation) -> str:
    name = weight_name(weight)
    if name is None:
        raise CodesignError(f"rotate: {op.name} multiplies by what is no parameter")
    return name
