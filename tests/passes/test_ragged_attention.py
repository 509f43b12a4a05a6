"""Attention in blocks is attention: any block, sequences of different lengths in a batch, every kind of masking."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.frontends.decoder import build
from codesign.frontends.families.llama import LLAMA
from codesign.frontends.shape import Layer
from codesign.program import Program, describe
from codesign.weights import StoredTensor

SPANS = st.none() | st.integers(1, 12)


@pytest.fixture(scope="module")
def decoder(make_llama) -> Callable[[st.DataObject], Program]:
    """A random decoder: layers of two kinds that slide, go by chunks or see all; with softcap, sinks or neither."""

    def decoder(data: st.DataObject) -> Program:
        kv_heads = data.draw(st.integers(1, 3))
        kinds = [Layer(window=data.draw(SPANS), chunk=data.draw(SPANS), name=name) for name in ("even", "odd")]
        llama = make_llama(
            data.draw(st.integers(0, 99)),
            layers=data.draw(st.integers(1, 3)),
            heads=kv_heads * data.draw(st.integers(1, 3)),
            kv_heads=kv_heads,
            head_size=2 * data.draw(st.integers(1, 5)),
            context=64,
            pattern=tuple(kinds),
            attention_softcap=data.draw(st.none() | st.sampled_from([0.5, 20.0])),
        )
        names, tensors = LLAMA.names, dict(llama.tensors)
        if data.draw(st.booleans()):
            names = replace(names, sinks="sinks.{}")
            random = np.random.default_rng(0)
            for layer in range(llama.shape.layers):
                tensors[f"sinks.{layer}"] = random.standard_normal(llama.shape.heads).astype(np.float32)
        stored = {
            name: StoredTensor(name, values.shape, "float32", values.reshape(-1).view(np.uint8))
            for name, values in tensors.items()
        }
        module = build(llama.shape, names, stored)
        describe(module, name="random", source=None, stop_tokens=())
        return Program(module, stored)

    return decoder


def prompts(data: st.DataObject, batch: int, most: int = 10) -> list[list[int]]:
    """Tokens for each sequence of a batch, of different lengths."""
    return data.draw(st.lists(st.lists(st.integers(0, 47), min_size=1, max_size=most), min_size=batch, max_size=batch))


@settings(max_examples=60)
@given(data=st.data(), queries=st.none() | st.integers(1, 12), keys=st.integers(1, 40))
def test_the_logits_stay(data, queries, keys, decoder, apply, session) -> None:
    """Prompts of different lengths, and steps after them, of which some take many tokens."""
    program = decoder(data)
    blocked = apply(program, f"block-attention{{keys={keys}{f' queries={queries}' if queries else ''}}}")
    batch = data.draw(st.integers(1, 3))
    whole, parts = session(program, batch=batch), session(blocked, batch=batch)
    for _ in range(data.draw(st.integers(1, 3))):
        tokens = prompts(data, batch)
        expected = whole.step(tokens)
        assert np.abs(parts.step(tokens) - expected).max() <= 1e-5 * np.abs(expected).max()


@settings(max_examples=20)
@given(data=st.data(), blocked=st.booleans())
def test_a_prompt_in_pieces_is_a_prompt(data, blocked, decoder, apply, session) -> None:
    """Each sequence of a batch in pieces of its own lengths, then token by token, against the whole of it alone."""
    program = decoder(data)
    if blocked:
        program = apply(program, "block-attention{queries=3 keys=5}")
    batch = data.draw(st.integers(1, 3))
    pieces = [prompts(data, batch, 6) for _ in range(data.draw(st.integers(1, 3)))]
    decoded = [[[token] for token in (7, 11, 13)[:batch]] for _ in range(2)]
    together = session(program, batch=batch)
    for step in [*pieces, *decoded]:
        given_last = together.step(step)[:, -1].copy()
    for sequence in range(batch):
        tokens = [token for step in [*pieces, *decoded] for token in step[sequence]]
        expected = session(program).step([tokens])[0, -1]
        assert np.abs(given_last[sequence] - expected).max() <= 1e-5 * np.abs(expected).max()


MASKED = """
builtin.module attributes {codesign.version = 1 : i64} {
  transformer.parameter @table : tensor<8x8xf32> from "table"
  func.func @step(%tokens: tensor<?x?xi32>, %past: PAST, %lengths: PAST, %keep: index, %cache: CACHE) -> (X, CACHE)
      attributes {transformer.step} {
    %layer = arith.constant 0 : index
    %one = arith.constant 1 : index
    %first = arith.constant FIRST : index
    %stop = arith.constant 9 : index
    %table = transformer.get @table : tensor<8x8xf32>
    %x = transformer.embedding %tokens, %table : (tensor<?x?xi32>, tensor<8x8xf32>) -> X
    %kept = transformer.append_kv %cache[%layer], %x, %x, %past : (CACHE, index, X, X, PAST) -> CACHE
    %m, %d, %a = transformer.attention_begin %x {heads = 2 : i64} : (X) -> (S, S, X)
    %m1, %d1, %a1 = scf.for %block = %first to %stop step %one iter_args(%m0 = %m, %d0 = %d, %a0 = %a) -> (S, S, X) {
      %m2, %d2, %a2 = transformer.attention_block %x, %kept[%layer], %past block %block running(%m0, %d0, %a0)
        {heads = 2 : i64, keys = 2 : i64, scale = 1.0 : f64} : (X, CACHE, index, PAST, index, S, S, X) -> (S, S, X)
      scf.yield %m2, %d2, %a2 : S, S, X
    }
    %y = transformer.attention_end %d1, %a1 : (S, X) -> X
    %last = transformer.last_tokens %y, %lengths, %keep : (X, PAST, index) -> X
    func.return %last, %kept : X, CACHE
  }
}
"""
TYPES = {
    "X": "tensor<?x?x8xf32>",
    "S": "tensor<?x?x2xf32>",
    "PAST": "tensor<?xi32>",
    "CACHE": "!transformer.kv_cache<layers = 1, batch = ?, context = 32, heads = 2, size = 4>",
}


@pytest.mark.parametrize("first", [2, 9])
def test_rows_whose_every_key_is_masked_are_zeros(first, tmp_path, session) -> None:
    """A loop that begins behind the keys that some queries see: those rows are zeros, and the others are attention over
    the keys of its blocks."""
    text = re.sub(r"\b[A-Z]+\b", lambda name: {**TYPES, "FIRST": str(first)}[name[0]], MASKED)
    (tmp_path / "masked.mlir").write_text(text)
    table = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    weights = {"table": StoredTensor("table", (8, 8), "float32", table.reshape(-1).view(np.uint8))}
    program = Program(api.load_model(tmp_path / "masked.mlir").module, weights)
    tokens = [[1, 2, 3, 4, 5, 6, 7], [0, 3, 2, 7, 5, 1]]
    logits = session(program, batch=2).step(tokens, keep=6)
    for row, sequence in enumerate(tokens):
        heads = table[sequence].reshape(-1, 2, 4).astype(np.float64)
        for token in range(len(sequence) - 6, len(sequence)):
            seen = heads[2 * first : token + 1]
            expected = np.zeros((2, 4))
            for head in range(2 if len(seen) else 0):
                scores = np.exp(seen[:, head] @ heads[token, head])
                expected[head] = scores / scores.sum() @ seen[:, head]
            given_row = logits[row, token - len(sequence) + 6]
            np.testing.assert_allclose(given_row, expected.reshape(-1), rtol=1e-5, atol=1e-6)
            assert len(seen) or not given_row.any()
