"""What multi-head latent attention needs besides attention: products of each head, and heads of two parts.

One latent vector a token stands for the keys and values of all heads (DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1).
In the absorbed form (there, section 2.1.2, and appendix C) each head's queries are taken to the latent space and its
result out of it, and all heads attend to the one latent key.
"""

from xdsl.dialects.builtin import IntegerAttr, UnitAttr, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.shapes import (
    Tensor,
    features,
    shape_of,
    tensor_of,
    verify_activation,
    with_features,
    written,
)


@irdl_op_definition
class HeadLinearOp(IRDLOperation):
    """Each head's features times a matrix of its own: ``result[h] = weight[h] · input[h]``, or the transpose of
    ``weight[h]`` where ``transposed``.

    The weight is ``[heads · out, in]``, the input ``[batch, tokens, heads · in]`` and the result ``[batch, tokens,
    heads · out]``; of the transpose, input and result change places.
    """

    name = "transformer.head_linear"

    input = operand_def(Tensor)
    weight = operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    transposed = opt_prop_def(UnitAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $weight attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, weight: SSAValue, *, heads: int, transposed: bool = False):
        rows, columns = shape_of(weight)
        super().__init__(
            operands=[input, weight],
            properties={"heads": IntegerAttr(heads, i64), "transposed": UnitAttr() if transposed else None},
            result_types=[with_features(tensor_of(input), heads * columns if transposed else rows)],
        )

    def verify_(self) -> None:
        weight, heads = shape_of(self.weight), self.heads.value.data
        if len(weight) != 2 or heads < 1 or weight[0] % heads:
            raise VerifyException(
                f"{self.name}: the weight is [heads · out, in] of {heads} heads, got {written(weight)}"
            )
        out, into = weight[0], heads * weight[1]
        if self.transposed is not None:
            out, into = into, out
        verify_activation(self, "the input", self.input, into)
        verify_activation(self, "the result", self.result, out)


@irdl_op_definition
class JoinHeadsOp(IRDLOperation):
    """The features of each of `heads` heads of `left`, and behind them those of the same head of `right`."""

    name = "transformer.join_heads"

    left = operand_def(Tensor)
    right = operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$left `,` $right attr-dict `:` functional-type(operands, results)"

    def __init__(self, left: SSAValue, right: SSAValue, *, heads: int):
        super().__init__(
            operands=[left, right],
            properties={"heads": IntegerAttr(heads, i64)},
            result_types=[with_features(tensor_of(left), features(left) + features(right))],
        )

    def verify_(self) -> None:
        heads = self.heads.value.data
        for name, value in (("left", self.left), ("right", self.right)):
            verify_activation(self, name, value)
            if heads < 1 or features(value) % heads:
                raise VerifyException(f"{self.name}: {features(value)} features do not divide into {heads} heads")
        verify_activation(self, "the result", self.result, features(self.left) + features(self.right))
