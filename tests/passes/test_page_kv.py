"""``page-kv``: the same values whichever pages hold them; pages taken as sequences grow, and given back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.workload import Workload
from codesign_dialects.transformer import KVCacheType, MapPagesOp


@settings(max_examples=30)
@given(data=st.data(), page=st.integers(1, 20), blocked=st.booleans())
def test_the_logits_are_those_of_a_contiguous_cache(data, page, blocked, make_llama, apply, session) -> None:
    """Sequences of different lengths; some end and give their pages to others, so that pages lie in any order."""
    program = make_llama(data.draw(st.integers(0, 9)), heads=4, kv_heads=data.draw(st.sampled_from([1, 2]))).program()
    paged = apply(program, f"page-kv{{page={page}}}" + (",block-attention{queries=3 keys=5}" if blocked else ""))
    batch = data.draw(st.integers(1, 3))
    contiguous, pooled = session(program, batch=batch), session(paged, batch=batch)
    lengths = np.zeros(batch, int)
    for _ in range(data.draw(st.integers(1, 5))):
        for sequence in data.draw(st.sets(st.integers(0, batch - 1))):
            contiguous.reset(sequence), pooled.reset(sequence)
            lengths[sequence] = 0
        prompts = st.lists(st.integers(0, 47), min_size=1, max_size=9)
        tokens = data.draw(st.lists(prompts, min_size=batch, max_size=batch))
        expected = contiguous.step(tokens)
        assert np.abs(pooled.step(tokens) - expected).max() <= 1e-5 * np.abs(expected).max()
        lengths += [len(own) for own in tokens]
        cache = paged.step.body.block.args[-1].type
        assert isinstance(cache, KVCacheType)
        assert pooled.cache_bytes == sum(cache.nbytes(1, int(length)) for length in lengths)
    assert contiguous.cache_bytes == program.step.body.block.args[-1].type.nbytes(batch, 64)


def test_what_the_step_takes(make_llama, apply) -> None:
    program = apply(make_llama().program(), "page-kv{page=8 pages=5},specialize{batch=2 tokens=3}")
    *_, table, cache = program.step.body.block.args
    assert str(table.type) == "tensor<2x?xi32>"
    assert (cache.type.page.data, cache.type.pages.data) == (8, 5)
    assert [op.pages for op in program.module.walk() if isinstance(op, MapPagesOp)] == [table]


def test_a_pool_that_is_too_small_takes_what_there_is_room_for(make_llama, apply, session) -> None:
    """Two sequences of a whole context do not fit, those of different lengths do; pages come free with a sequence."""
    pooled = session(apply(make_llama().program(), "page-kv{page=4 pages=4}"), batch=2)
    expected = pooled.step([list(range(12)), [1]]).copy()
    with pytest.raises(
        CodesignError, match=r"the KV cache is full: 2 pages of 4 tokens are needed, 0 of 4 are free \(short by 2\)"
    ):
        pooled.step([[1], [1, 2, 3, 4]])
    pooled.reset(0)
    pooled.step([[3], [2]])
    pooled.reset()
    assert pooled.cache_bytes == 0
    assert np.array_equal(pooled.step([list(range(12)), [1]]), expected)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("page-kv{page=0}", "page-kv: page=0; expected 1 or more"),
        ("page-kv{pages=0}", "page-kv: pages=0; expected 1 or more"),
        ("page-kv,page-kv{page=4}", "page-kv: the KV cache has pages of 16 tokens already"),
    ],
)
def test_refusals(pipeline, message, make_llama, apply) -> None:
    with pytest.raises(CodesignError) as error:
        apply(make_llama().program(), pipeline)
    assert str(error.value) == message


def test_a_chip_has_no_pages(make_llama, apply) -> None:
    with pytest.raises(CodesignError, match=r"transformer\.map_pages has no microcode on chip @edge"):
        apply(make_llama().program(), "page-kv,lower-to-microcode", api.load_chip("edge"))


def test_a_price_counts_whole_pages(apply) -> None:
    chip, workload = api.load_chip("h100"), Workload(batch=3, input=10, output=7)
    program = api.load_model("llama-3.1-8b")
    held = [
        api.cost(apply(program, pipeline, chip), workload).to_dict()["memory"]["kv_cache_bytes"]
        for pipeline in ("", "page-kv{page=16}", "page-kv{page=1}")
    ]
    token = 3 * 2 * 32 * 8 * 128 * 4
    assert held == [17 * token, 32 * token, 17 * token]


def test_a_pool_bounds_the_batch(apply) -> None:
    chip, workload = api.load_chip("h100"), Workload(batch=3, input=10, output=7)
    program = apply(api.load_model("llama-3.1-8b"), "page-kv{pages=5}", chip)
    with pytest.raises(CodesignError, match="3 sequences of 17 tokens take 6 pages of 16; the pool has 5"):
        api.cost(program, workload)
    api.cost(apply(api.load_model("llama-3.1-8b"), "page-kv{pages=6}", chip), workload)
