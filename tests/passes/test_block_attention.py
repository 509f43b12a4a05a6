"""``block-attention``: the same function, whatever the block; and the block that fits an SRAM."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign_dialects.transformer import AttentionBlockOp, AttentionOp, KeyBlocksOp


def keys_of(program) -> set[int]:
    return {op.keys.value.data for op in program.module.walk() if isinstance(op, AttentionBlockOp | KeyBlocksOp)}


@settings(max_examples=60)
@given(data=st.data(), keys=st.integers(1, 40))
def test_the_logits_stay(data, keys, make_llama, apply, session) -> None:
    """Blocks that divide the context or not, larger than it or one key; prompts of different lengths; later steps."""
    kv_heads, group = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    shape = {
        "layers": data.draw(st.integers(1, 2)),
        "heads": kv_heads * group,
        "kv_heads": kv_heads,
        "head_size": 2 * data.draw(st.integers(1, 5)),
        "context": 32,
    }
    program = make_llama(data.draw(st.integers(0, 99)), **shape).program()
    blocked = apply(program, f"block-attention{{keys={keys}}}")
    batch = data.draw(st.integers(1, 3))
    whole, parts = session(program, batch=batch), session(blocked, batch=batch)
    for _ in range(data.draw(st.integers(1, 3))):
        tokens = data.draw(
            st.lists(st.lists(st.integers(0, 47), min_size=1, max_size=10), min_size=batch, max_size=batch)
        )
        expected = whole.step(tokens)
        assert np.abs(parts.step(tokens) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_nothing_else_changes(make_llama, apply) -> None:
    program = make_llama().program()
    blocked = apply(program, "block-attention{keys=16}")
    assert not any(isinstance(op, AttentionOp) for op in blocked.module.walk())
    assert keys_of(blocked) == {16}
    assert any(isinstance(op, AttentionOp) for op in program.module.walk()), "the program given is left as it was"
    assert str(apply(blocked, "block-attention{keys=4}")) == str(blocked), "there is no attention left to rewrite"


def test_a_value_far_above_the_others_in_a_later_block_overflows_nothing(make_llama, apply, session) -> None:
    """The running maximum rises by hundreds between blocks: exp must see differences only."""
    llama = make_llama(layers=1)
    scaled = {
        name: values * np.float32(40) if "q_proj" in name or "k_proj" in name else values
        for name, values in llama.tensors.items()
    }
    program = type(llama)(llama.shape, scaled).program()
    tokens = [[1, 2, 3, 4, 5, 6, 7, 8]]
    expected = session(program).step(tokens, keep=8)
    assert np.isfinite(expected).all()
    blocked = session(apply(program, "block-attention{keys=1}")).step(tokens, keep=8)
    assert np.abs(blocked - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def edge():
    return api.load_chip("edge")


@pytest.mark.parametrize(
    ("capacity", "head_size", "keys"),
    [
        ("256 KiB", 64, 256),  # 2 × 2 × 256 × 64 × 4 bytes are 256 KiB
        ("255 KiB", 64, 128),
        ("1 MiB", 64, 512),  # the largest that is chosen
        ("1 KiB", 64, 1),
        ("256 KiB", 10, 512),
    ],
)
def test_the_largest_block_that_fits(edge, make_llama, apply, capacity, head_size, keys) -> None:
    program = make_llama(head_size=head_size).program()
    assert keys_of(apply(program, "block-attention", edge.evolve(kv={"capacity": capacity}))) == {keys}


def test_an_sram_by_name(edge, make_llama, apply) -> None:
    program = make_llama(head_size=64).program()
    chip = edge.evolve(results={"capacity": "64 KiB"})
    assert keys_of(apply(program, "block-attention{memory=results}", chip)) == {64}
    assert keys_of(apply(program, "block-attention{memory=results keys=7}", chip)) == {7}


@pytest.mark.parametrize(
    ("pipeline", "chip", "message"),
    [
        ("block-attention{keys=0}", None, "block-attention: keys=0; a block holds at least one key"),
        ("block-attention", None, "block-attention: give keys=, or a chip whose SRAM the block shall fit"),
        (
            "block-attention{memory=weight}",
            "edge",
            "block-attention: chip @edge has no SRAM called 'weight'. Did you mean weights, weight_scales?",
        ),
        (
            "block-attention{memory=kv keys=8192}",
            "edge",
            "block-attention: 8192 keys × 64 × <float32>, keys and values, double-buffered, need 8388608 bytes of @kv; "
            "it has 4194304 (short by 4194304)",
        ),
        ("block-attention", "h100", "has no SRAM of role kv; give keys= or memory="),
    ],
)
def test_refusals(make_llama, apply, pipeline, chip, message) -> None:
    program = make_llama(head_size=64).program()
    with pytest.raises(CodesignError) as error:
        apply(program, pipeline, chip and api.load_chip(chip))
    assert message in str(error.value)


def test_one_key_that_does_not_fit(edge, make_llama, apply) -> None:
    program = make_llama(head_size=128).program()
    with pytest.raises(CodesignError, match=r"1 keys × 128 × <float32>.*need 2048 bytes of @kv; it has 1024"):
        apply(program, "block-attention", edge.evolve(kv={"capacity": "1 KiB"}))
