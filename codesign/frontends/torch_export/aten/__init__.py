"""ATen's operators (https://docs.pytorch.org/docs/stable/torch.compiler_ir.html) in those of the generic dialect."""

from collections.abc import Mapping

from codesign.frontends.torch_export.aten import creation, elementwise, indexing, products, reductions, shapes
from codesign.frontends.torch_export.aten.operand import Handler

OPERATORS: Mapping[str, Handler] = {
    **elementwise.OPERATORS,
    **shapes.OPERATORS,
    **creation.OPERATORS,
    **reductions.OPERATORS,
    **indexing.OPERATORS,
    **products.OPERATORS,
}
"""What makes the results of each operator, by its name without overload."""
