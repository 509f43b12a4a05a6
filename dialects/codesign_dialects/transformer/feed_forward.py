"""Activation functions: by themselves, or as the gate of a gated feed-forward."""

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, result_def, traits_def
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.shapes import Tensor, features, verify_activation

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "gelu_sigmoid", "relu", "relu2")
"""``silu`` x / (1 + exp(-x)); ``gelu`` x · Φ(x), and its approximations by tanh and by x · sigmoid(1.702 x) (Hendrycks
and Gimpel, 2016, section 2); ``relu`` max(x, 0); ``relu2`` its square (So et al., "Primer", 2021)."""


def verify_activation_name(op: Operation, activation: StringAttr) -> None:
    """Verify that an activation function is known."""
    if activation.data not in ACTIVATIONS:
        raise VerifyException(f"{op.name}: unknown activation '{activation.data}'; known: {', '.join(ACTIVATIONS)}")


@irdl_op_definition
class GateOp(IRDLOperation):
    """A gated feed-forward's ``activation(gate) · up`` (Shazeer, "GLU Variants Improve Transformer", 2020)."""

    name = "transformer.gate"

    gate = operand_def(Tensor)
    up = operand_def(Tensor)
    activation = prop_def(StringAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$activation $gate `,` $up attr-dict `:` functional-type(operands, results)"

    def __init__(self, gate: SSAValue, up: SSAValue, activation: str):
        super().__init__(
            operands=[gate, up], properties={"activation": StringAttr(activation)}, result_types=[gate.type]
        )

    def verify_(self) -> None:
        verify_activation(self, "the gate", self.gate)
        verify_activation(self, "up", self.up, features(self.gate))
        verify_activation(self, "the result", self.result, features(self.gate))
        verify_activation_name(self, self.activation)


@irdl_op_definition
class GateTokensOp(IRDLOperation):
    """``sigmoid(scores) · input``, of each token one score: the scores are ``[batch, tokens, 1]``. It gates the expert
    that all tokens share in Qwen 2 (Qwen Team, "Qwen1.5-MoE", 2024)."""

    name = "transformer.gate_tokens"

    input = operand_def(Tensor)
    scores = operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$input `,` $scores attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, scores: SSAValue):
        super().__init__(operands=[input, scores], result_types=[input.type])

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the scores", self.scores, 1)
        verify_activation(self, "the result", self.result, features(self.input))


@irdl_op_definition
class ActivateOp(IRDLOperation):
    """``activation(input)``: the nonlinearity of a feed-forward without a gate."""

    name = "transformer.activate"

    input = operand_def(Tensor)
    activation = prop_def(StringAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$activation $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, activation: str):
        super().__init__(operands=[input], properties={"activation": StringAttr(activation)}, result_types=[input.type])

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))
        verify_activation_name(self, self.activation)
