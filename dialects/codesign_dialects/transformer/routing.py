"""A mixture of experts as it runs: each expert on the tokens that chose it, and on no others.

``route_top_k`` names each token's experts, ``dispatch`` lays the tokens out by expert, ``[experts, capacity,
features]``, where ``expert_linear`` and ``expert_gate`` work, and ``combine`` adds the results up token by token. Where
experts are divided over ranks, ``all_to_all`` takes the slots to the experts and back.
"""

from fractions import Fraction
from math import ceil, isfinite

from xdsl.dialects.builtin import DYNAMIC_INDEX, Float64Type, FloatAttr, IntegerAttr, TensorType, f64, i32, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.experts import ExpertChoiceOp, ExpertGatesOp, ExpertGatingOp, MoEOp
from codesign_dialects.transformer.layers import QuantizeOp
from codesign_dialects.transformer.shapes import (
    Tensor,
    features,
    is_integer_product,
    shape_of,
    tensor_of,
    verify_accumulator,
    verify_activation,
    verify_per_sequence,
    verify_shape,
    with_features,
    written,
)


@irdl_op_definition
class RouteTopKOp(ExpertChoiceOp):
    """The numbers of the `experts` that each token chooses, and their `gates`, ``[batch, tokens, top_k]`` both, the
    best first."""

    name = "transformer.route_top_k"

    experts = result_def(Tensor)
    gates = result_def(Tensor)

    def __init__(self, dense: ExpertGatesOp):
        gates = with_features(tensor_of(dense.scores), dense.top_k.value.data)
        super().__init__(
            operands=[dense.scores, dense.bias],
            properties=dict(dense.properties),
            result_types=[TensorType(i32, gates.get_shape()), gates],
        )

    def verify_(self) -> None:
        self.verify_choice()
        for name, value in (("experts", self.experts), ("gates", self.gates)):
            verify_activation(self, name, value, self.top_k.value.data)


@irdl_op_definition
class DispatchOp(IRDLOperation):
    """The tokens of `input` ``[batch, tokens, features]`` laid out by the `experts` ``[batch, tokens, k]`` that they
    chose, of each sequence the first `lengths`: what pads it takes no place. With `gates` ``[batch, tokens, k]`` a
    token arrives times its gate.

    Results are `dispatched` ``[experts, capacity, features]``, slots that nobody took zero; `slots`, the place of each
    choice in it, ``expert · capacity + slot``, or -1 where the expert was full and the choice is dropped; and how many
    were `dropped`. First choices are served before second ones, and among them the tokens in order (Lepikhin et al.,
    "GShard", 2020, algorithm 1).

    With a ``capacity_factor`` an expert holds ``ceil(factor · tokens · k / experts)`` tokens, of all sequences together
    (Fedus et al., "Switch Transformers", 2022, section 2.2); without, as many as there are, and none is dropped.
    """

    name = "transformer.dispatch"

    input = operand_def(Tensor)
    experts = operand_def(Tensor)
    lengths = operand_def(Tensor)
    gates = opt_operand_def(Tensor)
    capacity_factor = opt_prop_def(FloatAttr[Float64Type])
    dispatched = result_def(Tensor)
    slots = result_def(Tensor)
    dropped = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$input `,` $experts `,` $lengths (`times` $gates^)? attr-dict `:` functional-type(operands, results)"
    )

    def __init__(
        self,
        input: SSAValue,
        experts: SSAValue,
        lengths: SSAValue,
        gates: SSAValue | None = None,
        *,
        count: int,
        capacity_factor: float | None = None,
    ):
        type = tensor_of(input)
        super().__init__(
            operands=[input, experts, lengths, gates],
            properties={"capacity_factor": None if capacity_factor is None else FloatAttr(capacity_factor, f64)},
            result_types=[
                TensorType(type.element_type, (count, DYNAMIC_INDEX, type.get_shape()[-1])),
                experts.type,
                TensorType(i32, ()),
            ],
        )

    @property
    def count(self) -> int:
        """How many experts there are."""
        return shape_of(self.dispatched)[0]

    @property
    def top_k(self) -> int:
        """Experts that each token chooses."""
        return features(self.experts)

    def capacity(self, tokens: int) -> int:
        """Slots of each expert for a step of `tokens` tokens, of all sequences together."""
        if self.capacity_factor is None:
            return tokens
        # The factor as it is written: in binary 1.1 · 10 is a little above 11.
        return ceil(Fraction(str(self.capacity_factor.value.data)) * tokens * self.top_k / self.count)

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the experts", self.experts)
        verify_per_sequence(self, "lengths", self.lengths)
        if self.gates is not None:
            verify_activation(self, "the gates", self.gates, self.top_k)
        _verify_by_expert(self, "what is dispatched", self.dispatched, features(self.input))
        verify_activation(self, "the slots", self.slots, self.top_k)
        verify_shape(self, "the number dropped", self.dropped, ())
        if not 1 <= self.top_k <= self.count:
            raise VerifyException(f"{self.name}: a token chooses 1 to {self.count} experts, got {self.top_k}")
        factor = 1.0 if self.capacity_factor is None else self.capacity_factor.value.data
        if not (isfinite(factor) and factor > 0):
            raise VerifyException(f"{self.name}: the capacity factor is positive, got {factor}")


@irdl_op_definition
class ExpertLinearOp(IRDLOperation):
    """Each expert's ``input · weightᵀ + bias``: input ``[experts, capacity, in]``, weight ``[experts, out, in]``, bias
    ``[experts, out]``, result ``[experts, capacity, out]``. Slots that nobody took hold no meaning. Products of
    integers are summed and scaled as those of ``transformer.linear``."""

    name = "transformer.expert_linear"

    input = operand_def(Tensor)
    weight = operand_def(Tensor)
    bias = opt_operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input `,` $weight (`,` $bias^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, weight: SSAValue, bias: SSAValue | None = None):
        super().__init__(
            operands=[input, weight, bias], result_types=[with_features(tensor_of(input), shape_of(weight)[1])]
        )

    @property
    def integer(self) -> bool:
        """Whether both sides store integers, so that the sums are exact."""
        return is_integer_product(self.input, self.weight)

    def verify_(self) -> None:
        weight = shape_of(self.weight)
        if len(weight) != 3:
            raise VerifyException(f"{self.name}: the weight is [experts, out, in], got {written(weight)}")
        experts, columns, reduction = weight
        _verify_by_expert(self, "the input", self.input, reduction, experts)
        _verify_by_expert(self, "the result", self.result, columns, experts)
        if self.bias is not None:
            verify_shape(self, "the bias", self.bias, (experts, columns))
        verify_accumulator(self, self.input, self.weight)


@irdl_op_definition
class ExpertGateOp(ExpertGatingOp):
    """Each expert's gating of `gate` by `up`, both and the result ``[experts, capacity, hidden]``."""

    name = "transformer.expert_gate"

    gate = operand_def(Tensor)
    up = operand_def(Tensor)
    result = result_def(Tensor)

    assembly_format = "$activation $gate `,` $up attr-dict `:` functional-type(operands, results)"

    def __init__(self, gate: SSAValue, up: SSAValue, dense: MoEOp):
        own = {name: value for name, value in dense.properties.items() if name != "scaled_input"}
        super().__init__(operands=[gate, up], properties=own, result_types=[gate.type])

    def verify_(self) -> None:
        experts, _, hidden = _verify_by_expert(self, "the gate", self.gate)
        _verify_by_expert(self, "up", self.up, hidden, experts)
        _verify_by_expert(self, "the result", self.result, hidden, experts)
        self.verify_gating()


@irdl_op_definition
class CombineOp(IRDLOperation):
    """``Σ gates[c] · input[slots[c]]`` over the choices c of each token, those dropped left out: input ``[experts,
    capacity, features]``, slots and gates ``[batch, tokens, k]``, result ``[batch, tokens, features]``. Without `gates`
    each is 1."""

    name = "transformer.combine"

    input = operand_def(Tensor)
    slots = operand_def(Tensor)
    gates = opt_operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input `,` $slots (`times` $gates^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, slots: SSAValue, gates: SSAValue | None = None):
        shape = (*shape_of(slots)[:-1], features(input))
        super().__init__(
            operands=[input, slots, gates], result_types=[TensorType(tensor_of(input).element_type, shape)]
        )

    def verify_(self) -> None:
        _verify_by_expert(self, "the input", self.input)
        verify_activation(self, "the slots", self.slots)
        if self.gates is not None:
            verify_activation(self, "the gates", self.gates, features(self.slots))
        verify_activation(self, "the result", self.result, features(self.input))


@irdl_op_definition
class AllToAllOp(IRDLOperation):
    """Every one of ``ranks`` sends each of the others its part: slots go from the rank that holds the token to the one
    that holds the expert, or back. Experts stand on the ranks in order, an equal part on each.

    The values ``[experts, capacity, features]`` of all ranks together stay what they are; where they lie changes
    (Lepikhin et al., "GShard", 2020, section 3.3).
    """

    name = "transformer.all_to_all"

    input = operand_def(Tensor)
    ranks = prop_def(IntegerAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, ranks: int):
        super().__init__(operands=[input], properties={"ranks": IntegerAttr(ranks, i64)}, result_types=[input.type])

    def verify_(self) -> None:
        experts, _, width = _verify_by_expert(self, "the input", self.input)
        _verify_by_expert(self, "the result", self.result, width, experts)
        ranks = self.ranks.value.data
        if ranks < 1 or experts % ranks:
            raise VerifyException(f"{self.name}: {experts} experts do not divide over {ranks} ranks")


def is_by_expert(value: SSAValue) -> bool:
    """Whether `value` is ``[experts, capacity, features]``, and not ``[batch, tokens, features]``."""
    owner = value.owner
    if isinstance(owner, DispatchOp):
        return value is owner.dispatched
    if isinstance(owner, QuantizeOp):
        return is_by_expert(owner.input)
    return isinstance(owner, ExpertLinearOp | ExpertGateOp | AllToAllOp)


def _verify_by_expert(
    op: Operation, name: str, value: SSAValue, width: int | None = None, experts: int | None = None
) -> tuple[int, ...]:
    """Verify that `value` is ``[experts, capacity, features]``, of as many as given, and return its shape."""
    shape = shape_of(value)
    if len(shape) != 3 or DYNAMIC_INDEX in (shape[0], shape[2]):
        raise VerifyException(f"{op.name}: {name} must be [experts, capacity, features], got {value.type}")
    if shape[0] != (experts or shape[0]) or shape[2] != (width or shape[2]):
        wanted = (experts or shape[0], DYNAMIC_INDEX, width or shape[2])
        raise VerifyException(f"{op.name}: {name} must have shape {written(wanted)}, got {written(shape)}")
    return shape
