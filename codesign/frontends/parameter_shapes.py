"""The shapes of a decoder's parameters, and the layers that have each."""

from collections.abc import Iterator, Sequence

from codesign.errors import CodesignError
from codesign.frontends.shape import Decoder, Experts, Latent, Names

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(d: Decoder, names: Names) -> Iterator[tuple[str, tuple[int, ...], range]]:
    """The name and the shape of every parameter that the decoder has, those of the layers after the others and with
    their numbers, which a stacked one counts first."""
    whole: Shapes = {"embedding": (d.vocabulary, d.hidden), "positions": (d.context, d.hidden), "norm": (d.hidden,)}
    if not d.tied:
        whole["head"] = (d.vocabulary, d.hidden)
    yield from ((name, shape, range(0)) for name, shape in whole.items() if names.has(name))
    layers = range(d.layers)
    sparse = [layer for layer in layers if d.experts is not None and not d.kind(layer).dense]
    parts: list[tuple[Sequence[int], Shapes]] = [
        (layers, {"attention_norm": (d.hidden,)} | _attention(d)),
        (sparse, {} if d.experts is None else _mixture(d, d.experts)),
        ([layer for layer in layers if layer not in sparse], _dense("", d.hidden, d.feed_forward)),
        (layers, {"feed_forward_post_norm": (d.hidden,)}),
    ]
    for own, shapes in parts:
        numbers = _evenly(own)
        for name, shape in shapes.items():
            if numbers and names.has(name):
                yield f"layers.{name}", (len(numbers), *shape), numbers


def _evenly(layers: Sequence[int]) -> range:
    """Layers that lie as far apart from each other as a range, since a stack holds no others."""
    step = layers[1] - layers[0] if len(layers) > 1 else 1
    numbers = range(layers[0], layers[-1] + 1, step) if layers else range(0)
    if list(numbers) != list(layers):
        raise CodesignError(f"layers of one kind of feed-forward are evenly spaced; got layers {list(layers)[:8]}, …")
    return numbers


def _attention(d: Decoder) -> Shapes:
    q, kv = d.heads * d.head_size, d.kv_heads * d.head_size
    products: Shapes = {"query": (q, d.hidden), "key": (kv, d.hidden), "value": (kv, d.hidden)}
    attended = q
    if d.latent is not None:
        products, attended = _latent_products(d, d.latent), d.heads * d.latent.value
    return products | {
        "query_norm": (d.head_size if d.head_norm else q,),
        "key_norm": (d.head_size if d.head_norm else kv,),
        "sinks": (d.heads,),
        "attention_inner_norm": (attended,),
        "output": (d.hidden, attended),
        "attention_post_norm": (d.hidden,),
        "feed_forward_norm": (d.hidden,),
    }


def _latent_products(d: Decoder, latent: Latent) -> Shapes:
    entering = d.hidden if latent.query_rank is None else latent.query_rank
    return {
        "latent_query": (entering, d.hidden),
        "latent_query_norm": (entering,),
        "query": (d.heads * latent.content, entering),
        "rotary_query": (d.heads * latent.rotary, entering),
        "latent": (latent.rank, d.hidden),
        "latent_norm": (latent.rank,),
        "rotary_key": (latent.rotary, d.hidden),
        "key": (d.heads * latent.rank, latent.content) if latent.absorbed else (d.heads * latent.content, latent.rank),
        "value": (d.heads * latent.value, latent.rank),
    }


def _mixture(d: Decoder, e: Experts) -> Shapes:
    shapes: Shapes = {
        "router": (e.count, d.hidden),
        "selection_bias": (e.count,),
        "expert_gate": (e.count, e.feed_forward, d.hidden),
        "expert_up": (e.count, e.feed_forward, d.hidden),
        "expert_down": (e.count, d.hidden, e.feed_forward),
    }
    shared: Shapes = {"shared_router": (1, d.hidden)} | _dense("shared_", d.hidden, e.shared)
    return shapes | (shared if e.shared else {})


def _dense(part: str, hidden: int, width: int) -> Shapes:
    return {
        f"{part}gate": (width, hidden),
        f"{part}up": (width, hidden),
        f"{part}feed_forward_inner_norm": (width,),
        f"{part}down": (hidden, width),
    }
