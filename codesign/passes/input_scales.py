"""One scale for all that a linear operation reads, measured on a calibration text."""

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import TensorType, f32
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.linear_weights import ScaleOf
from codesign.numerics.float32 import Floats
from codesign.passes.calibration import Calibration, run_windows
from codesign.passes.weight_tensors import own_source
from codesign.program import Program
from codesign_dialects.encoding import Encoding
from codesign_dialects.transformer import GetOp, ParameterOp


def input_scales(program: Program, names: Sequence[str], encoding: Encoding, calibration: Calibration) -> ScaleOf:
    """Run the text through `program`; what is returned writes, for a weight among `names`, the parameter that states
    the scale of its input in each layer: the largest magnitude met over the largest element, 1 where none was met."""
    largest: dict[tuple[str, int | None], float] = {}

    def observe(names: tuple[str, ...], layer: int | None, expert: int | None, inputs: Floats) -> None:
        for name in names:
            met = float(np.abs(inputs).max(initial=0))
            largest[name, layer] = max(met, largest.get((name, layer), 0.0))

    run_windows(program, calibration.windows(program), observe)

    written: dict[str, ParameterOp] = {}

    def scale_of(weight: GetOp) -> ParameterOp:
        name = weight.parameter.string_value()
        if name in written:
            return written[name]
        parameter = program.parameters[name]
        values = [largest.get((name, layer), 0.0) / encoding.element.largest or 1.0 for layer in parameter.layers]
        shape = (len(values),) if parameter.stacked else ()
        scale = ParameterOp(f"{name}_input_scale", TensorType(f32, shape), parameter.source.data, values=values)
        scale.first, scale.stride = parameter.first, parameter.stride
        own_source(scale)
        Rewriter.insert_op(scale, InsertPoint.before(parameter))
        written[name] = scale
        return scale

    return scale_of
