"""The operations of a transformer layer outside attention.

Activations are ``[batch, tokens, features]``, weights ``[out, in]``. Each sequence of a batch has its own length.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    Float64Type,
    FloatAttr,
    IndexType,
    TensorType,
    f64,
)
from xdsl.interfaces import HasCanonicalizationPatternsInterface
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_result_def,
)
from xdsl.pattern_rewriter import RewritePattern
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import encoding_of
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
    with_encoding,
    with_features,
    written,
)


@irdl_op_definition
class EmbeddingOp(IRDLOperation):
    """Rows of `table` ``[vocabulary, features]`` chosen by `tokens` ``[batch, tokens]``."""

    name = "transformer.embedding"

    tokens = operand_def(Tensor)
    table = operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$tokens `,` $table attr-dict `:` functional-type(operands, results)"

    def __init__(self, tokens: SSAValue, table: SSAValue):
        shape = (*shape_of(tokens), features(table))
        super().__init__(operands=[tokens, table], result_types=[TensorType(tensor_of(table).element_type, shape)])

    def verify_(self) -> None:
        tokens = shape_of(self.tokens)
        table = shape_of(self.table)
        if len(tokens) != 2 or len(table) != 2:
            raise VerifyException(
                f"{self.name}: tokens are [batch, tokens] and the table is [vocabulary, features], "
                f"got {written(tokens)} and {written(table)}"
            )
        verify_shape(self, "the result", self.result, (*tokens, table[1]))


@irdl_op_definition
class PositionEmbeddingOp(IRDLOperation):
    """Rows of `table` ``[positions, features]`` at the positions `past`, `past` + 1, … of `tokens` ``[batch, tokens]``:
    positions that a model learned."""

    name = "transformer.position_embedding"

    tokens = operand_def(Tensor)
    past = operand_def(Tensor)
    table = operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$tokens `,` $past `,` $table attr-dict `:` functional-type(operands, results)"

    def __init__(self, tokens: SSAValue, past: SSAValue, table: SSAValue):
        shape = (*shape_of(tokens), features(table))
        super().__init__(
            operands=[tokens, past, table], result_types=[TensorType(tensor_of(table).element_type, shape)]
        )

    def verify_(self) -> None:
        tokens, table = shape_of(self.tokens), shape_of(self.table)
        if len(tokens) != 2 or len(table) != 2:
            raise VerifyException(
                f"{self.name}: tokens are [batch, tokens] and the table is [positions, features], "
                f"got {written(tokens)} and {written(table)}"
            )
        verify_per_sequence(self, "past", self.past)
        verify_shape(self, "the result", self.result, (*tokens, table[1]))


@irdl_op_definition
class LinearOp(IRDLOperation):
    """``input · weightᵀ + bias + residual``: input ``[batch, tokens, in]``, weight ``[out, in]``, bias ``[out]``,
    result and residual ``[batch, tokens, out]``.

    When input and weight both store integers the products are summed exactly in int32 and then scaled:
    ``(float(sum) · weight scale) · input scale``, each product rounded to float32.
    """

    name = "transformer.linear"

    input = operand_def(Tensor)
    weight = operand_def(Tensor)
    bias = opt_operand_def(Tensor)
    residual = opt_operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$input `,` $weight (`,` $bias^)? (`plus` $residual^)? attr-dict "
        "`:` `(` type($input) `,` type($weight) (`,` type($bias)^)? `)` (`plus` type($residual)^)? `->` type($result)"
    )

    def __init__(
        self, input: SSAValue, weight: SSAValue, bias: SSAValue | None = None, residual: SSAValue | None = None
    ):
        super().__init__(
            operands=[input, weight, bias, residual],
            result_types=[with_features(tensor_of(input), shape_of(weight)[0])],
        )

    @property
    def integer(self) -> bool:
        """Whether both sides store integers, so that the sums are exact."""
        return is_integer_product(self.input, self.weight)

    def verify_(self) -> None:
        weight = shape_of(self.weight)
        if len(weight) != 2:
            raise VerifyException(f"{self.name}: the weight is [out, in], got {written(weight)}")
        verify_activation(self, "the input", self.input, weight[1])
        verify_activation(self, "the result", self.result, weight[0])
        if self.bias is not None:
            verify_shape(self, "the bias", self.bias, (weight[0],))
        if self.residual is not None:
            verify_activation(self, "the residual", self.residual, weight[0])
        verify_accumulator(self, self.input, self.weight)


@irdl_op_definition
class SplitOp(IRDLOperation):
    """An activation's features in parts, one behind the other: what several products gave that run as one."""

    name = "transformer.split"

    input = operand_def(Tensor)
    parts = var_result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, extents: Sequence[int]):
        super().__init__(
            operands=[input], result_types=[[with_features(tensor_of(input), extent) for extent in extents]]
        )

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        for part in self.parts:
            verify_activation(self, "a part", part)
        total = sum(features(part) for part in self.parts)
        if total != features(self.input):
            raise VerifyException(
                f"{self.name}: parts of {total} features in all, of an input of {features(self.input)}"
            )


@irdl_op_definition
class AddOp(IRDLOperation):
    """The sum of two activations: the residual connection."""

    name = "transformer.add"

    left = operand_def(Tensor)
    right = operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$left `,` $right attr-dict `:` functional-type(operands, results)"

    def __init__(self, left: SSAValue, right: SSAValue):
        super().__init__(operands=[left, right], result_types=[left.type])

    def verify_(self) -> None:
        verify_activation(self, "left", self.left)
        verify_activation(self, "right", self.right, features(self.left))
        verify_activation(self, "the result", self.result, features(self.left))


@irdl_op_definition
class ScaleOp(IRDLOperation, HasCanonicalizationPatternsInterface):
    """An activation times a constant `factor`."""

    name = "transformer.scale"

    input = operand_def(Tensor)
    factor = prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, factor: float):
        super().__init__(operands=[input], properties={"factor": FloatAttr(factor, f64)}, result_types=[input.type])

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        from codesign_dialects.transformer.canonicalization import DropScaleByOne

        return (DropScaleByOne(),)

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))


@irdl_op_definition
class PositionScaleOp(IRDLOperation):
    """``(1 + strength · log(1 + ⌊(position + 1) / interval⌋)) · input`` at positions `past`, `past` + 1, …: queries
    that grow with the context keep attention from spreading over it (Nakanishi, "Scalable-Softmax Is Superior for
    Attention", 2025; Meta, "Llama 4", 2025)."""

    name = "transformer.position_scale"

    input = operand_def(Tensor)
    past = operand_def(Tensor)
    strength = prop_def(FloatAttr[Float64Type])
    interval = prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $past attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, past: SSAValue, *, strength: float, interval: float):
        super().__init__(
            operands=[input, past],
            properties={"strength": FloatAttr(strength, f64), "interval": FloatAttr(interval, f64)},
            result_types=[input.type],
        )

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))
        verify_per_sequence(self, "past", self.past)
        if not self.interval.value.data >= 1 or not self.strength.value.data >= 0:
            raise VerifyException(
                f"{self.name}: the interval is at least 1 and the strength at least 0, got {self.interval.value.data} "
                f"and {self.strength.value.data}"
            )


@irdl_op_definition
class SoftcapOp(IRDLOperation):
    """``cap · tanh(input / cap)``: values kept within ±cap (Gemma Team, "Gemma 2", 2024, section 2)."""

    name = "transformer.softcap"

    input = operand_def(Tensor)
    cap = prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, cap: float):
        super().__init__(operands=[input], properties={"cap": FloatAttr(cap, f64)}, result_types=[input.type])

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))
        if not self.cap.value.data > 0:
            raise VerifyException(f"{self.name}: the cap is positive, got {self.cap.value.data}")


@irdl_op_definition
class QuantizeOp(IRDLOperation):
    """Store a float32 activation as the result's encoding says, a scale for each token or one `scale` for all.

    Without `scale` each token's is taken from its values: the largest magnitude m over the largest element L, and a
    value x becomes the integer ``x · (L / m)``, rounded to nearest even; see "Quantizing activations" in
    docs/arithmetic.md. With it, a scalar parameter, a value becomes ``x / scale``, rounded to the nearest element and
    saturated, as ONNX QuantizeLinear.
    """

    name = "transformer.quantize"

    input = operand_def(Tensor)
    scale = opt_operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input (`by` $scale^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, encoding: Encoding, scale: SSAValue | None = None):
        super().__init__(operands=[input, scale], result_types=[with_encoding(tensor_of(input), encoding)])

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_shape(self, "the result", self.result, shape_of(self.input))
        if encoding_of(self.input.type).element.name != "float32":
            raise VerifyException(f"{self.name}: the input must hold float32, got {self.input.type}")
        encoding = encoding_of(self.result.type)
        if encoding.scale is None:
            raise VerifyException(f"{self.name}: the result's encoding must have a scale, got {self.result.type}")
        if encoding.per_tensor != (self.scale is not None):
            raise VerifyException(
                f"{self.name}: a scale is given where the result has one for all of it, per = tensor, and only there; "
                f"got {self.result.type}"
            )
        if self.scale is not None:
            verify_shape(self, "the scale", self.scale, ())


@irdl_op_definition
class LastTokensOp(IRDLOperation):
    """The last `keep` of each sequence's `lengths` tokens: ``[batch, tokens, features]`` to ``[batch, keep,
    features]``.

    Generation keeps one; scoring a text keeps all.
    """

    name = "transformer.last_tokens"

    input = operand_def(Tensor)
    lengths = operand_def(Tensor)
    keep = operand_def(IndexType)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input `,` $lengths `,` $keep attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, lengths: SSAValue, keep: SSAValue):
        shape = (shape_of(input)[0], DYNAMIC_INDEX, features(input))
        super().__init__(
            operands=[input, lengths, keep], result_types=[TensorType(tensor_of(input).element_type, shape)]
        )

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))
        verify_per_sequence(self, "lengths", self.lengths)
