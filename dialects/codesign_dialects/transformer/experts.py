"""Mixtures of experts: which experts a token goes to and with what weight, and the sum over them.

The mixture is defined as the dense sum over all experts; a gate of zero is an expert that need not run. The operations
that run the chosen ones only are in ``routing``.
"""

from xdsl.dialects.builtin import Float64Type, FloatAttr, IntegerAttr, StringAttr, UnitAttr, f64, i64
from xdsl.ir import SSAValue
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
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.feed_forward import verify_activation_name
from codesign_dialects.transformer.shapes import Tensor, features, shape_of, verify_activation, verify_shape, written

SCORINGS = ("softmax", "sigmoid", "equal")


class ExpertChoiceOp(IRDLOperation):
    """Which ``top_k`` experts each token chooses, and with what gates (Shazeer et al., "Outrageously Large Neural
    Networks", 2017, section 2.1).

    A gate is the ``scoring`` of the router's logits `scores` ``[batch, tokens, experts]``: their softmax, or the
    sigmoid of each; or ``equal``, which chooses by the logits and gives every chosen expert the gate 1. With
    ``normalize`` the chosen gates are divided by their sum, which makes softmax the softmax over the chosen logits
    only; then all are multiplied by ``scale``. Ties go to the expert with the lower number.

    `bias` ``[experts]`` is added for the choice, not to the gate. With ``groups`` only the experts of the
    ``top_groups`` best of so many equal groups can be chosen; a group is as good as the sum of its two best experts
    (DeepSeek-AI, "DeepSeek-V3", 2024, section 2.1.2), or of its ``group_best`` best: in DeepSeek-V2 of one.
    """

    scores = operand_def(Tensor)
    bias = opt_operand_def(Tensor)
    top_k = prop_def(IntegerAttr)
    scoring = prop_def(StringAttr)
    normalize = opt_prop_def(UnitAttr)
    scale = opt_prop_def(FloatAttr[Float64Type])
    groups = opt_prop_def(IntegerAttr)
    top_groups = opt_prop_def(IntegerAttr)
    group_best = opt_prop_def(IntegerAttr)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$scoring $scores (`,` $bias^)? attr-dict `:` functional-type(operands, results)"

    @property
    def best_of_group(self) -> int:
        """Experts whose sum a group is as good as."""
        return 2 if self.group_best is None else self.group_best.value.data

    def verify_choice(self) -> None:
        """Verify all but the results."""
        verify_activation(self, "the scores", self.scores)
        experts = features(self.scores)
        if self.bias is not None:
            verify_shape(self, "the bias", self.bias, (experts,))
        if self.scoring.data not in SCORINGS:
            raise VerifyException(f"{self.name}: scoring is one of {', '.join(SCORINGS)}, got '{self.scoring.data}'")
        if (self.groups is None) != (self.top_groups is None):
            raise VerifyException(f"{self.name}: groups and top_groups are stated together")
        choices = experts
        if self.groups is not None and self.top_groups is not None:
            groups, top, best = self.groups.value.data, self.top_groups.value.data, self.best_of_group
            if groups < 1 or experts % groups or not 1 <= best <= experts // groups or not 1 <= top <= groups:
                raise VerifyException(
                    f"{self.name}: expected equal groups of at least {max(best, 1)} of the {experts} experts and 1 to "
                    f"all of them chosen, got {top} of {groups} groups"
                )
            choices = experts // groups * top
        if not 1 <= self.top_k.value.data <= choices:
            raise VerifyException(f"{self.name}: top_k is 1 to {choices}, got {self.top_k.value.data}")


@irdl_op_definition
class ExpertGatesOp(ExpertChoiceOp):
    """The gates of each token, ``[batch, tokens, experts]``: those of the experts it chooses, zero for the others."""

    name = "transformer.expert_gates"

    result = result_def(Tensor)

    def __init__(
        self,
        scores: SSAValue,
        bias: SSAValue | None = None,
        *,
        top_k: int,
        scoring: str,
        normalize: bool,
        scale: float = 1.0,
        groups: tuple[int, int] | None = None,
        group_best: int = 2,
    ):
        super().__init__(
            operands=[scores, bias],
            properties={
                "top_k": IntegerAttr(top_k, i64),
                "scoring": StringAttr(scoring),
                "normalize": UnitAttr() if normalize else None,
                "scale": None if scale == 1 else FloatAttr(scale, f64),
                "groups": None if groups is None else IntegerAttr(groups[0], i64),
                "top_groups": None if groups is None else IntegerAttr(groups[1], i64),
                "group_best": None if groups is None or group_best == 2 else IntegerAttr(group_best, i64),
            },
            result_types=[scores.type],
        )

    def verify_(self) -> None:
        self.verify_choice()
        verify_activation(self, "the result", self.result, features(self.scores))


class ExpertGatingOp(IRDLOperation):
    """Gating within an expert: ``activation(gate) · (up + up_offset)``, the offset 0 unless stated. With a ``limit``
    the gate is kept below it and up within ±limit first (OpenAI, "gpt-oss", 2025, section 2.2)."""

    activation = prop_def(StringAttr)
    limit = opt_prop_def(FloatAttr[Float64Type])
    up_offset = opt_prop_def(FloatAttr[Float64Type])

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)

    def verify_gating(self) -> None:
        """Verify the properties."""
        verify_activation_name(self, self.activation)
        if self.limit is not None and not self.limit.value.data > 0:
            raise VerifyException(f"{self.name}: the limit is positive, got {self.limit.value.data}")


@irdl_op_definition
class MoEOp(ExpertGatingOp):
    """``Σ gates[e] · expert_e(input)`` over the experts e, each a gated feed-forward ``down · gating(gate, up)``.

    Weights are stacked, `gate` and `up` ``[experts, hidden, in]``, `down` ``[experts, in, hidden]``; the `biases` of
    gate, up and down, where there are any, ``[experts, hidden]``, twice, and ``[experts, in]``.

    With ``scaled_input`` the gate multiplies an expert's input instead of its result: the sum over the experts with a
    gate of ``expert_e(gates[e] · input)`` (Meta, "Llama 4", 2025).
    """

    name = "transformer.moe"

    input = operand_def(Tensor)
    gates = operand_def(Tensor)
    gate = operand_def(Tensor)
    up = operand_def(Tensor)
    down = operand_def(Tensor)
    biases = var_operand_def(Tensor)
    scaled_input = opt_prop_def(UnitAttr)
    result = result_def(Tensor)

    assembly_format = (
        "$activation $input `,` $gates `,` $gate `,` $up `,` $down "
        "(`bias` $biases^)? attr-dict `:` functional-type(operands, results)"
    )

    def __init__(
        self,
        input: SSAValue,
        gates: SSAValue,
        weights: tuple[SSAValue, SSAValue, SSAValue],
        biases: tuple[SSAValue, ...] = (),
        *,
        activation: str,
        limit: float | None = None,
        up_offset: float = 0.0,
        scaled_input: bool = False,
    ):
        super().__init__(
            operands=[input, gates, *weights, biases],
            properties={
                "activation": StringAttr(activation),
                "limit": None if limit is None else FloatAttr(limit, f64),
                "up_offset": None if not up_offset else FloatAttr(up_offset, f64),
                "scaled_input": UnitAttr() if scaled_input else None,
            },
            result_types=[input.type],
        )

    def verify_(self) -> None:
        up = shape_of(self.up)
        if len(up) != 3:
            raise VerifyException(f"{self.name}: the weights are [experts, out, in], got {written(up)}")
        experts, hidden, width = up
        verify_activation(self, "the input", self.input, width)
        verify_activation(self, "the gates", self.gates, experts)
        verify_activation(self, "the result", self.result, width)
        verify_shape(self, "gate", self.gate, up)
        verify_shape(self, "down", self.down, (experts, width, hidden))
        if len(self.biases) not in (0, 3):
            raise VerifyException(f"{self.name}: biases are those of gate, up and down, got {len(self.biases)}")
        for name, bias, extent in zip(("gate", "up", "down"), self.biases, (hidden, hidden, width), strict=False):
            verify_shape(self, f"the bias of {name}", bias, (experts, extent))
        self.verify_gating()
