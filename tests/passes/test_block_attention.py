"""``block-attention``: what it writes, and the blocks that fit an SRAM; test_ragged_attention.py runs it."""

import numpy as np
import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign_dialects.transformer import (
    AttentionBlockOp,
    AttentionOp,
    KeyBlocksOp,
    PutBlockOp,
    QueryBlocksOp,
    TakeBlockOp,
)


def keys_of(program) -> set[int]:
    return {op.keys.value.data for op in program.module.walk() if isinstance(op, AttentionBlockOp | KeyBlocksOp)}


def queries_of(program) -> set[int]:
    kinds = QueryBlocksOp | TakeBlockOp | PutBlockOp
    return {op.queries.value.data for op in program.module.walk() if isinstance(op, kinds)}


def test_nothing_else_changes(make_llama, apply) -> None:
    program = make_llama().program()
    blocked = apply(program, "block-attention{keys=16}")
    assert not any(isinstance(op, AttentionOp) for op in blocked.module.walk())
    assert (keys_of(blocked), queries_of(blocked)) == ({16}, set())
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


@pytest.mark.parametrize(
    ("options", "queries", "keys"),
    [
        # 2 × 2 × 16 × 64 × 4 bytes of keys and values; of 16 × 2 queries (2 × 64 + 64 + 2) × 4: 41,216 in all
        ("", 16, 16),
        (" keys=7", 32, 7),
        (" queries=4", 4, 32),
        (" queries=40 keys=1", 40, 1),
    ],
)
def test_queries_and_keys_share_an_sram_that_is_named(edge, make_llama, apply, options, queries, keys) -> None:
    chip = edge.evolve(results={"capacity": "64 KiB"})
    blocked = apply(make_llama(head_size=64).program(), f"block-attention{{memory=results{options}}}", chip)
    assert (queries_of(blocked), keys_of(blocked)) == ({queries}, {keys})


def test_queries_lie_elsewhere_than_in_the_sram_of_keys(edge, make_llama, apply) -> None:
    chip = edge.evolve(kv={"capacity": "256 KiB"})
    blocked = apply(make_llama(head_size=64).program(), "block-attention{queries=4096}", chip)
    assert (queries_of(blocked), keys_of(blocked)) == ({4096}, {256})


@pytest.mark.parametrize(
    ("pipeline", "chip", "message"),
    [
        ("block-attention{keys=0}", None, "block-attention: keys=0; a block holds at least one"),
        ("block-attention{keys=1 queries=0}", None, "block-attention: queries=0; a block holds at least one"),
        ("block-attention", None, "block-attention: give keys=, or a chip whose SRAM the block shall fit"),
        (
            "block-attention{memory=weight}",
            "edge",
            "block-attention: chip @edge has no SRAM called 'weight'. Did you mean weights, weight_scales?",
        ),
        (
            "block-attention{memory=kv keys=8192}",
            "edge",
            "block-attention: 8192 keys × 64 × <float32>, keys and values, double-buffered, with 1 queries of 2 heads "
            "need 8390160 bytes of @kv; it has 4194304 (short by 4195856)",
        ),
        (
            "block-attention{memory=kv queries=8192}",
            "edge",
            "block-attention: 1 keys × 64 × <float32>, keys and values, double-buffered, with 8192 queries of 2 heads "
            "need 12715008 bytes of @kv; it has 4194304 (short by 8520704)",
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
