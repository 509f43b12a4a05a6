"""From a graph of generic operators to a decoder: attention, norms, rotary embedding, gates and experts found in it.

The graph is the function marked ``generic.main`` of a program whose weights are at hand. It takes token ids ``[batch,
tokens]``, and may take a mask of the tokens, their positions, and empty keys and values of the past; it returns logits,
and may return other things beside. Where it stands in the way that frontends write it, this is what is found:

* the stream: an embedding (``gather`` from a parameter by the ids), perhaps scaled, perhaps with learned positions, to
  which ``add`` adds the results of attention and feed-forward, in turn or side by side;
* products: ``matmul`` or ``gemm`` of a value with a matrix that depends on parameters only, then perhaps ``add``;
* norms: ``rms_normalization``, ``layer_normalization``, or the mean of squares of the last axis and what follows it;
* attention: ``attention``, or ``softmax`` between two ``matmul``. Masks are looked at as values.

What is between those is not matched but computed: a head's features are followed from attention back to the rows of a
product by numbers that name them, rotary embeddings are measured, activations compared. So any way to write reshapes,
repeated heads, halves or pairs that turn comes to the same. At last the logits of the decoder and of the graph are
compared on random tokens.
"""

from codesign.frontends.lift.graph import LiftError
from codesign.frontends.lift.lifting import Lifted, lift, lifted

__all__ = ["LiftError", "Lifted", "lift", "lifted"]
