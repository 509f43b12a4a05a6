"""``sparsify``: what is kept and stored, what the methods do, how it meets ``quantize``."""

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.numerics.block_formats import unpack
from codesign_dialects.encoding import Sparsity
from codesign_dialects.formats import encoding_of

PATTERNS = {
    "sparsify": Sparsity(2, 4),
    'sparsify{pattern="1:8"}': Sparsity(1, 8),
    "sparsify{pattern=unstructured ratio=0.5}": Sparsity(1, 2, row=True),
    "sparsify{pattern=block block=4 ratio=0.5}": Sparsity(1, 2, 4, row=True),
}


def stored_tensors(program):
    for parameter in program.parameters.values():
        for source in parameter.sources:
            yield parameter, program.weights[source]


@pytest.mark.parametrize("pipeline", PATTERNS)
def test_what_is_stored_is_what_the_types_say(make_llama, apply, session, pipeline) -> None:
    llama = make_llama(hidden=32, feed_forward=64, heads=4, head_size=8)
    program = apply(llama.program(), pipeline)
    sparse = [parameter for parameter in program.parameters.values() if encoding_of(parameter.type).sparsity]
    assert {parameter.sym_name.data for parameter in sparse} == {
        "embedding",
        *(f"layers.{name}" for name in ("query", "key", "value", "output", "gate", "up", "down")),
    }
    pruned = dict(llama.tensors)
    for parameter, tensor in stored_tensors(program):
        encoding = encoding_of(parameter.type)
        if encoding.sparsity is None:
            continue
        assert encoding.sparsity == PATTERNS[pipeline] and tensor.format == str(encoding)
        values, dense = tensor.float32(), llama.tensors[tensor.name]
        kept = unpack(tensor.format, tensor.payload, tensor.shape).kept
        np.testing.assert_array_equal(values, np.where(kept, dense, 0))
        assert kept.mean() == encoding.sparsity.density
        pruned[tensor.name] = values
    for parameter in sparse:
        assert parameter.nbytes == sum(program.weights[source].nbytes for source in parameter.sources)
        assert parameter.nbytes < 0.6 * 4 * np.prod(parameter.type.get_shape())
    expected = session(type(llama)(llama.shape, pruned).program()).step([[1, 2, 3]])
    # A head that stands in its file as it is multiplies in another order.
    np.testing.assert_allclose(session(program).step([[1, 2, 3]]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantize", ["quantize{weights=int8}", "quantize{weights=int4 group=8 method=mse}"])
def test_quantization_keeps_the_pattern(make_llama, apply, session, quantize) -> None:
    llama = make_llama(hidden=32, feed_forward=64, heads=4, head_size=8)
    sparse = apply(llama.program(), "sparsify")
    program = apply(llama.program(), f"sparsify,{quantize}")
    for parameter, tensor in stored_tensors(program):
        if not encoding_of(parameter.type).sparsity:
            continue
        before = sparse.weights[tensor.name].float32()
        assert str(encoding_of(parameter.type)) == tensor.format
        assert parameter.nbytes == sum(program.weights[source].nbytes for source in parameter.sources)
        assert not tensor.float32()[before == 0].any()
        assert np.abs(tensor.float32() - before).max() <= np.abs(before).max() / 7
    integers = apply(llama.program(), "sparsify,quantize{weights=int8 activations=int8}")
    near = session(integers).step([[1, 2, 3]]) - session(sparse).step([[1, 2, 3]])
    assert 0 < np.abs(near).max() < 0.2


def test_weights_that_make_up_for_the_lost_ones_stay_nearer(held) -> None:
    options = f'skip=embedding samples=4 text="{held.calibration}"'
    magnitude, wanda = (
        held.divergence("sparsify{skip=embedding}"),
        held.divergence(f"sparsify{{method=wanda {options}}}"),
    )
    assert wanda < magnitude
    assert held.divergence(f"sparsify{{method=sparsegpt {options}}}") < 0.95 * wanda


def test_without_weights_the_types_alone_change(make_llama, apply) -> None:
    llama = make_llama()
    program = apply(type(llama.program())(llama.program().module), "sparsify")
    assert program.weights is None
    assert encoding_of(program.parameters["layers.up"].type).sparsity == Sparsity(2, 4)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ('sparsify{pattern="5:4"}', "sparsify: pattern=5:4 must keep 1 to 4 of 4, not 5"),
        ('sparsify{pattern="2:7"}', "sparsify: @layers.query: sparsity 2:7 does not divide an axis of 24"),
        ("sparsify{pattern=half}", "sparsify: pattern=half is not known"),
        ("sparsify{pattern=unstructured}", "sparsify: ratio= is the part left out, between 0 and 1, got None"),
        ("sparsify{pattern=block ratio=0.5}", "pattern=block takes block= of 2 or more neighbors"),
        ("sparsify{ratio=0.5}", "sparsify: pattern=2:4 says all of it; leave out ratio= and block="),
        ("sparsify{method=wander}", "sparsify: no method is called wander; known: magnitude, wanda, sparsegpt"),
        ("sparsify{skip=heads}", "sparsify: skip=heads matches no parameter"),
        ("sparsify,sparsify", "sparsify: @layers.query is sparse already"),
        ("quantize{weights=int8},sparsify", "sparsify must come before quantize"),
    ],
)
def test_refusals(make_llama, apply, pipeline, message) -> None:
    program = make_llama().program()
    before = str(program)
    with pytest.raises(CodesignError) as error:
        apply(program, pipeline)
    assert message in str(error.value)
    assert str(program) == before
