"""What cannot be lowered is refused: by name, with what is needed, what there is, and by how much it is short."""

import pytest
from xdsl.irdl import OptOperandDef, OptPropertyDef

from codesign import api
from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.lowering import REFUSED_OPTIONS
from codesign.passes.lower_to_microcode.operations import LOWERINGS


@pytest.fixture(scope="module")
def message(chip, make_llama, lower):
    """``message(options, before, chip changes, model changes)``: the refusal."""

    def message(options="", before="", changes=None, **shape) -> str:
        with pytest.raises(CodesignError) as error:
            lower(make_llama(**shape).program(), chip.evolve(**(changes or {})), options, before)
        return str(error.value)

    return message


@pytest.mark.parametrize("operation", [op for op in LOWERINGS if op.name.startswith("transformer.")])
def test_nothing_optional_is_passed_over(operation) -> None:
    """What an operation may have besides is refused, but for weight and bias, which have kernels, and a layer."""
    definition = operation.get_irdl_definition()
    optional = {name for name, kind in definition.properties.items() if isinstance(kind, OptPropertyDef)}
    optional |= {name for name, kind in definition.operands if isinstance(kind, OptOperandDef)}
    assert optional - {"weight", "bias", "layer"} == set(REFUSED_OPTIONS.get(operation.name, ()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("tokens=0", "lower-to-microcode: tokens=0; the matmul unit of @edge keeps 1 to 4 in flight"),
        ("tokens=5", "lower-to-microcode: tokens=5; the matmul unit of @edge keeps 1 to 4 in flight"),
        ("context=65", "context=65; 1 to 64 can be had: the model's are 64, the token memory of @edge holds 64"),
    ],
)
def test_options(message, options, expected) -> None:
    assert expected in message(options)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Of one layer 2 heads × 64 positions × 8 bytes, keys and values; two layers lie off the chip.
        ({"kv": {"capacity": "2000 B"}}, "@kv needs 2048 bytes and has 1984 (short by 64)"),
        ({"key_scales": {"capacity": "500 B"}}, "@key_scales needs 512 bytes and has 496 (short by 16)"),
        ({"vector": {"capacity": "1 KiB"}}, "@vector needs "),
        ({"constants": {"capacity": "64 B"}}, "@constants needs "),
        ({"dram": {"capacity": "4 KiB"}}, "off-chip memory needs "),
        (
            {"weights": {"capacity": "512 B"}},
            "2 row tiles of the widest weight do not fit: @weights needs 640 bytes and has 512 (short by 128)",
        ),
    ],
)
def test_what_does_not_fit(message, changes, expected) -> None:
    assert expected in message(changes=changes)


def test_every_memory_that_is_short_is_told(message) -> None:
    text = message(changes={"kv": {"capacity": "1 KiB"}, "results": {"capacity": "256 B"}})
    assert "@kv needs" in text
    assert "@results needs" in text


@pytest.mark.parametrize(
    ("before", "shape", "expected"),
    [
        (
            "",
            {"rotary_style": "interleaved"},
            "transformer.rotary: pairs of style 'interleaved'; the chip rotates 'half'",
        ),
        ("", {"activation": "gelu"}, "transformer.gate: gelu has no microcode; silu has"),
        ("", {"head_size": 12}, "half of a head of 12 features is no multiple of the vector unit's 4 lanes"),
        ("block-attention{keys=12}", {}, "blocks of 12 keys; the chip takes a multiple of its 8 lanes"),
        (
            "block-attention{queries=3 keys=8}",
            {},
            "blocks of 3 queries; the chip takes 4 tokens together: give block-attention{queries=4} or more",
        ),
        ("", {"attention_softcap": 2.0}, "transformer.attention with softcap has no microcode"),
        (
            "block-attention{queries=4 keys=8}",
            {"attention_softcap": 2.0},
            "transformer.attention_block with softcap has no microcode",
        ),
    ],
)
def test_operations(message, before, shape, expected) -> None:
    assert expected in message(before=before, **shape)


def test_floats(chip, make_llama) -> None:
    with pytest.raises(CodesignError, match=r"the weight of @layers.query stores <float32>.*run quantize"):
        api.compile(make_llama().program(), chip, "lower-to-microcode")
    with pytest.raises(CodesignError, match=r"the weight of @layers.query stores <int4"):
        api.compile(make_llama().program(), chip, "quantize{weights=int4 activations=int8},lower-to-microcode")
    with pytest.raises(CodesignError, match=r"the input of @layers.query stores <float32>"):
        api.compile(make_llama().program(), chip, "quantize{weights=int8},lower-to-microcode")


def test_no_chip(make_llama) -> None:
    with pytest.raises(CodesignError, match="the program names no chip"):
        api.compile(make_llama().program(), None, "lower-to-microcode")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("fuse{only=residuals}", "transformer.linear with residual has no microcode"),
        ("specialize{batch=2}", "the program is specialized to batch=2; the chip runs 1"),
    ],
)
def test_what_a_pass_before_may_have_made(message, before, expected) -> None:
    assert expected in message(before=before)


def test_blocks_that_the_unit_does_not_scale(make_llama, chip) -> None:
    sizes = {"hidden": 48, "heads": 4, "kv_heads": 2, "head_size": 16, "feed_forward": 64}
    program, passes = make_llama(**sizes).program(), "lower-to-microcode"
    block = chip.evolve(mxu={"results": 1, "scales": "block"})
    with pytest.raises(
        CodesignError, match="per = 16>; the matmul unit takes <int8, scale = <float32>, per = channel>"
    ):
        api.compile(program, chip, f"quantize{{weights=int8 group=16 activations=int8}},{passes}")
    with pytest.raises(CodesignError, match="has a scale for each 4 inputs; the matmul unit adds up 8 at a time"):
        api.compile(program, block, f"quantize{{weights=int8 group=4 activations=int8}},{passes}")
    hasty = chip.evolve(mxu={"results": 2, "scales": "block"})
    with pytest.raises(CodesignError, match="a sum comes around after 4 cycles, and adding to it takes 5: results = 1"):
        api.compile(program, hasty, f"quantize{{weights=int8 group=16 activations=int8}},{passes}")
