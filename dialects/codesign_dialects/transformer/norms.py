"""Normalization over the features of a token, or over those of each head."""

from xdsl.dialects.builtin import Float64Type, FloatAttr, IntegerAttr, f64, i64
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

from codesign_dialects.transformer.shapes import Tensor, features, verify_activation, verify_shape


def _verify_epsilon(op: Operation, epsilon: FloatAttr[Float64Type]) -> None:
    if not 0 <= epsilon.value.data < 1:
        raise VerifyException(f"{op.name}: epsilon is a small positive number, got {epsilon.value.data}")


@irdl_op_definition
class RMSNormOp(IRDLOperation):
    """``x / sqrt(mean(x²) + epsilon) · (weight + offset)`` over the features (Zhang and Sennrich, 2019, equation 4).
    Without a weight the last factor is left out.

    With ``heads`` the features of each head are normalized by themselves, and the weight is that of one head (Dehghani
    et al., "Scaling Vision Transformers to 22 Billion Parameters", 2023). The offset is 0 unless stated: Gemma stores
    weights around 0 and states 1.
    """

    name = "transformer.rms_norm"

    input = operand_def(Tensor)
    weight = opt_operand_def(Tensor)
    epsilon = prop_def(FloatAttr[Float64Type])
    heads = opt_prop_def(IntegerAttr)
    offset = opt_prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input (`,` $weight^)? attr-dict `:` functional-type(operands, results)"

    def __init__(
        self, input: SSAValue, weight: SSAValue | None, epsilon: float, *, heads: int = 1, offset: float = 0.0
    ):
        super().__init__(
            operands=[input, weight],
            properties={
                "epsilon": FloatAttr(epsilon, f64),
                "heads": None if heads == 1 else IntegerAttr(heads, i64),
                "offset": None if not offset else FloatAttr(offset, f64),
            },
            result_types=[input.type],
        )

    @property
    def groups(self) -> int:
        """Groups of features that are normalized by themselves: the heads, or one."""
        return 1 if self.heads is None else self.heads.value.data

    @property
    def weight_offset(self) -> float:
        """What is added to the stored weight."""
        return 0.0 if self.offset is None else self.offset.value.data

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        if self.groups < 1 or features(self.input) % self.groups:
            raise VerifyException(
                f"{self.name}: {features(self.input)} features do not divide into {self.groups} heads"
            )
        if self.weight is not None:
            verify_shape(self, "the weight", self.weight, (features(self.input) // self.groups,))
        elif self.offset is not None:
            raise VerifyException(f"{self.name}: an offset is added to a weight, and there is none")
        verify_activation(self, "the result", self.result, features(self.input))
        _verify_epsilon(self, self.epsilon)


@irdl_op_definition
class LayerNormOp(IRDLOperation):
    """``(x - mean(x)) / sqrt(variance(x) + epsilon) · weight + bias`` over the features (Ba et al., 2016, equation 4).

    The variance is that of the features themselves, divided by their number.
    """

    name = "transformer.layer_norm"

    input = operand_def(Tensor)
    weight = operand_def(Tensor)
    bias = opt_operand_def(Tensor)
    epsilon = prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $weight (`,` $bias^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, weight: SSAValue, bias: SSAValue | None, epsilon: float):
        super().__init__(
            operands=[input, weight, bias],
            properties={"epsilon": FloatAttr(epsilon, f64)},
            result_types=[input.type],
        )

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_shape(self, "the weight", self.weight, (features(self.input),))
        if self.bias is not None:
            verify_shape(self, "the bias", self.bias, (features(self.input),))
        verify_activation(self, "the result", self.result, features(self.input))
        _verify_epsilon(self, self.epsilon)
