"""The lowerings of the KV cache and of attention over it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from codesign.numerics.activation_quantizer import quantize_rows
from codesign.numerics.encoded import quantize as quantize_values
from codesign.numerics.quantization import check_integer
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.transformer import AppendKVOp, AttentionOp, MapPagesOp
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_numpy.attention import Scoring, attend, attend_one, attend_variant
from codesign_numpy.buffers import Floats
from codesign_numpy.kv_cache import KVCache
from codesign_numpy.plan import Plan, values_of


def _held_as(encoding: Encoding) -> Callable[[Floats], Floats]:
    """What a KV cache gives back, in float32, of the heads ``[…, size]`` that it stores: integers rounded as
    activations are, other formats to nearest."""
    if encoding == Encoding(FLOAT32):
        return lambda heads: heads
    if encoding.element.kind != "float":
        check_integer(encoding)
        return lambda heads: quantize_rows(heads, encoding.element.bits).dequantize()
    return lambda heads: quantize_values(heads, encoding).values()


def lower_map_pages(op: MapPagesOp, plan: Plan) -> None:
    """The same pool, under the page table given."""
    plan.values[op.result] = replace(plan.value(op.cache, KVCache), table=plan.numbers(op.pages))


def lower_append_kv(op: AppendKVOp, plan: Plan) -> None:
    """Keys and values of this step into the cache, as it stores them."""
    cache, layer = plan.value(op.cache, KVCache), plan.value(op.layer, int)
    split = (plan.batch, plan.tokens, cache.heads, -1)
    keys, values = (plan.array(value).reshape(split).transpose(0, 2, 1, 3) for value in (op.keys, op.values))
    past = plan.numbers(op.past)
    plan.values[op.result] = cache
    type = cache_of(op.cache)
    held = _held_as(type.encoding.data)
    if plan.single and not type.latent and not type.page.data:
        key, value, own_keys, own_values = keys[0, :, 0], values[0, :, 0], cache.keys[layer, 0], cache.values[layer, 0]

        def call_on_one() -> None:
            place = past.item()
            own_keys[:, place], own_values[:, place] = held(key), held(value)

        plan.calls.append(call_on_one)
        return

    def call_latent() -> None:
        whole = held(np.concatenate((values, keys), axis=-1))
        for sequence, start in enumerate(past.tolist()):
            cache.write(layer, sequence, start, whole[sequence], values[sequence])

    def call() -> None:
        for sequence, start in enumerate(past.tolist()):
            cache.write(layer, sequence, start, held(keys[sequence]), held(values[sequence]))

    plan.calls.append(call_latent if type.latent else call)


def lower_attention(op: AttentionOp, plan: Plan) -> None:
    """Attention over all that the cache holds."""
    cache, layer, past = plan.value(op.cache, KVCache), plan.value(op.layer, int), plan.numbers(op.past)
    split = (plan.batch, plan.tokens, op.heads.value.data, -1)
    queries, out = plan.array(op.queries).reshape(split), plan.buffer(op.result).reshape(split)
    scale, first = np.float32(op.scale.value.data), plan.left_out
    scoring = Scoring.of(op)
    if not scoring.plain or op.sinks is not None:
        sinks = None if op.sinks is None else values_of(op.sinks, plan)
        plan.calls.append(lambda: attend_variant(queries, cache, layer, past + first, scoring, sinks, out))
        return
    if plan.single and not cache_of(op.cache).page.data:
        # Most steps of a generation; what does not change from step to step is taken apart here.
        kv_heads = cache.heads
        one, result = (array.reshape(kv_heads, -1, array.shape[-1]) for array in (queries, out))
        keys, values = cache.keys[layer, 0], cache.values[layer, 0]

        # The compiled kernel reads keys and values of one size, side by side.
        compiled = None if cache_of(op.cache).latent else plan.compiled
        kernel = attend_one if compiled is None else compiled.attend

        def call() -> None:
            kernel(one, keys, values, past.item() + 1, scale, result)

        plan.calls.append(call)
        return
    plan.calls.append(lambda: attend(queries, cache, layer, past + first, scale, out))
