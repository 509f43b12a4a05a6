"""``canonicalize`` and ``cse`` over our operations: nothing left that nobody reads, nothing read twice."""

import numpy as np
from xdsl.rewriter import InsertPoint, Rewriter

from codesign_dialects.transformer import GetOp, LinearOp, RMSNormOp, ScaleOp


def names(program) -> list[str]:
    return [op.name for op in program.module.walk()]


def test_what_nobody_reads_goes(make_llama, apply) -> None:
    program = make_llama().program()
    linear = next(op for op in program.module.walk() if isinstance(op, LinearOp))
    get = linear.weight.owner
    assert isinstance(get, GetOp)
    Rewriter.insert_op(LinearOp(linear.input, linear.weight), InsertPoint.after(linear))
    assert names(apply(program, "canonicalize")) == names(make_llama().program())


def test_a_parameter_that_nobody_names_goes(make_llama, apply) -> None:
    program = make_llama().program()
    norm = next(op for op in program.step.walk() if isinstance(op, RMSNormOp))
    Rewriter.replace_op(norm, [], [norm.input])
    canonical = apply(program, "canonicalize")
    assert set(program.parameters) - set(canonical.parameters) == {"norm"}


def test_a_scale_by_one_goes_and_another_stays(make_llama, apply, session) -> None:
    program = make_llama().program()
    for factor in (1.0, 0.5):
        norm = next(op for op in program.step.walk() if isinstance(op, RMSNormOp))
        scale = ScaleOp(norm.input, factor)
        Rewriter.insert_op(scale, InsertPoint.before(norm))
        norm.operands[0] = scale.result
    canonical = apply(program, "canonicalize")
    assert [op.factor.value.data for op in canonical.module.walk() if isinstance(op, ScaleOp)] == [0.5]
    expected = session(program).step([[1, 2, 3]])
    np.testing.assert_array_equal(session(canonical).step([[1, 2, 3]]), expected)


def test_what_is_computed_twice_is_computed_once(make_llama, apply, session) -> None:
    program = make_llama().program()
    linear = next(op for op in program.module.walk() if isinstance(op, LinearOp))
    again = LinearOp(linear.input, linear.weight)
    Rewriter.insert_op(again, InsertPoint.after(linear))
    user = next(iter(linear.result.uses))
    user.operation.operands[user.index] = again.result
    once = apply(program, "cse,canonicalize")
    assert names(once) == names(make_llama().program())
    np.testing.assert_array_equal(session(once).step([[1, 2]]), session(make_llama().program()).step([[1, 2]]))
