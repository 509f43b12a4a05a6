"""A decoder's shape, and what its parameters are called: what every frontend reduces a file to."""

from dataclasses import dataclass, replace

from codesign.errors import CodesignError
from codesign_dialects.transformer.rotary_scaling import LongRopeScaling, RotaryScaling
from codesign_dialects.transformer.view import View

LIMITS = {
    "vocabulary": 1 << 24,
    "hidden": 1 << 20,
    "layers": 1 << 16,
    "heads": 1 << 16,
    "kv_heads": 1 << 16,
    "head_size": 1 << 16,
    "feed_forward": 1 << 24,
    "context": 1 << 28,
}
"""No model is near these: a number above them is a broken file."""


def check_extent(name: str, value: int, where: str) -> None:
    """Refuse an extent beyond its limit: before a list is made of so many, and of every decoder."""
    if not 1 <= value <= LIMITS[name]:
        raise CodesignError(f"{where}: {name} is {value}; expected 1 to {LIMITS[name]}")


MOST_EXPERTS = 1 << 16


@dataclass(frozen=True)
class Layer:
    """What may differ from layer to layer; layers of one kind share a function called after it.

    `window` is that of sliding attention, `chunk` that of chunked attention. `temperature` is strength and interval of
    queries that grow with their position. A layer without `rotary` does not know positions; `theta` is a rotary base of
    its own, whose frequencies are not scaled. A `dense` layer has a feed-forward where the others have experts.
    """

    name: str = "layer"
    window: int | None = None
    chunk: int | None = None
    temperature: tuple[float, float] | None = None
    rotary: bool = True
    theta: float | None = None
    dense: bool = False


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1): one latent vector of `rank` features
    a token stands for the keys and values of all heads.

    Of a head's query and key `content` features come from latent vectors and `rotary` ones know positions, whose key
    all heads share. Its value has `value` features. Queries come from a latent vector of `query_rank` features, None
    for the input itself. A head's key matrix is ``[content, rank]``; where it is `absorbed`, it is ``[rank, content]``,
    as it takes queries to the latent space.
    """

    rank: int
    content: int
    rotary: int
    value: int
    query_rank: int | None = None
    absorbed: bool = False


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in place of the feed-forward: how the router chooses (``transformer.expert_gates``), what an
    expert computes (``transformer.moe``), and the size of the feed-forward that every token takes beside it, 0 for
    none.
    """

    count: int
    chosen: int
    feed_forward: int
    scoring: str = "softmax"
    normalize: bool = True
    scale: float = 1.0
    groups: tuple[int, int] | None = None
    group_best: int = 2
    scaled_input: bool = False
    limit: float | None = None
    up_offset: float = 0.0
    shared: int = 0


@dataclass(frozen=True)
class Decoder:
    """The shape of a decoder. As it stands, that of Llama: RMSNorm before attention and feed-forward, rotary positions,
    a gated feed-forward. Which norms there are, and whether a feed-forward has a gate, is what :class:`Names` names.

    `biases` names the parameters that have one. A `parallel` block feeds attention and feed-forward from its input. The
    kinds of `pattern` are taken in turn, layer by layer. `head_norm` tells whether query and key norms are of each head
    or of all features. With `turned_norm` turned queries and keys are normed again, head by head, without a weight.
    """

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    context: int
    epsilon: float
    theta: float
    activation: str = "silu"
    rotary_style: str = "half"
    tied: bool = False
    rotary_size: int | None = None
    rotary_scaling: RotaryScaling | None = None
    layer_norm: bool = False
    norm_offset: float = 0.0
    head_norm: bool = True
    turned_norm: bool = False
    biases: frozenset[str] = frozenset()
    parallel: bool = False
    embedding_scale: float | None = None
    attention_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    experts: Experts | None = None
    latent: Latent | None = None
    pattern: tuple[Layer, ...] = (Layer(),)

    def kind(self, layer: int) -> Layer:
        """What layer number `layer` is."""
        return self.pattern[layer % len(self.pattern)]

    @property
    def rotary_features(self) -> int:
        """Features of a head that turn."""
        return self.rotary_size or (self.head_size if self.latent is None else self.latent.rotary)

    @property
    def sliding(self) -> Layer | None:
        """The first kind of layer with a window."""
        return next((kind for kind in self.pattern if kind.window is not None), None)

    def check(self, where: str) -> None:
        """Refuse a shape that cannot be.

        Raises
        ------
        CodesignError
            Naming the field, its value and what it may be.
        """
        for name in LIMITS:
            check_extent(name, getattr(self, name), where)
        if self.heads % self.kv_heads:
            raise CodesignError(f"{where}: {self.heads} heads do not divide among {self.kv_heads} KV heads")
        if not 0 <= self.epsilon < 1 or not 1 <= self.theta <= 1e12:
            raise CodesignError(
                f"{where}: expected an epsilon in [0, 1) and a rotary theta in [1, 1e12], "
                f"got {self.epsilon} and {self.theta}"
            )
        if any(kind.rotary for kind in self.pattern):
            self._check_rotary(where)
        for kind in self.pattern:
            if kind.window is not None and not 1 <= kind.window <= LIMITS["context"]:
                raise CodesignError(f"{where}: a sliding window holds 1 to {LIMITS['context']} keys, got {kind.window}")
        if self.experts is not None:
            self._check_experts(where, self.experts)
        if self.latent is not None:
            for name in ("rank", "content", "rotary", "value", "query_rank"):
                value = getattr(self.latent, name)
                if value is not None and not 1 <= value <= LIMITS["head_size"]:
                    raise CodesignError(
                        f"{where}: the {name} of latent attention is 1 to {LIMITS['head_size']}, got {value}"
                    )

    def _check_rotary(self, where: str) -> None:
        if self.rotary_size is None and self.rotary_features % 2:
            raise CodesignError(f"{where}: rotary positions need an even head size, got {self.rotary_features}")
        if self.rotary_size is not None and (self.rotary_size % 2 or not 2 <= self.rotary_size <= self.head_size):
            raise CodesignError(
                f"{where}: rotary positions turn an even number of a head's {self.head_size} features, "
                f"got {self.rotary_size}"
            )
        for kind in self.pattern:
            if kind.theta is not None and not 1 <= kind.theta <= 1e12:
                raise CodesignError(f"{where}: a layer's own rotary theta is in [1, 1e12], got {kind.theta}")
        if self.rotary_scaling is not None and self.theta == 1:
            raise CodesignError(f"{where}: a rotary theta of 1 cannot be scaled")
        if self.rotary_scaling is not None and (problem := self.rotary_scaling.problem):
            raise CodesignError(f"{where}: rotary scaling: {problem}")
        if isinstance(self.rotary_scaling, LongRopeScaling):
            misfit = self.rotary_scaling.misfit(self.rotary_features)
            if misfit:
                raise CodesignError(f"{where}: rotary scaling: {misfit}")

    def _check_experts(self, where: str, experts: Experts) -> None:
        if experts.limit is not None and not experts.limit > 0:
            raise CodesignError(f"{where}: the limit of an expert's activations is positive, got {experts.limit}")
        if not 1 <= experts.chosen <= experts.count <= MOST_EXPERTS:
            raise CodesignError(
                f"{where}: expected 1 to {MOST_EXPERTS} experts of which 1 to all are chosen, "
                f"got {experts.chosen} of {experts.count}"
            )
        if experts.groups is not None:
            self._check_groups(where, experts, *experts.groups)
        if not 1 <= experts.feed_forward <= LIMITS["feed_forward"] or not 0 <= experts.shared <= LIMITS["feed_forward"]:
            raise CodesignError(
                f"{where}: the feed-forward of an expert is 1 to {LIMITS['feed_forward']} wide, "
                f"got {experts.feed_forward} and {experts.shared} shared"
            )

    def _check_groups(self, where: str, experts: Experts, groups: int, top: int) -> None:
        size = experts.count // groups if groups > 0 and experts.count % groups == 0 else 0
        if size < experts.group_best or not 1 <= top <= groups or size * top < experts.chosen:
            raise CodesignError(
                f"{where}: expected equal groups of at least {experts.group_best} of the {experts.count} experts, of "
                f"which enough are chosen for {experts.chosen} experts, got {top} of {groups} groups"
            )


WHOLE = View()


@dataclass(frozen=True)
class Source:
    """Where a parameter stands: in the tensor `name`, of which it is the part that `view` takes."""

    name: str
    view: View = WHOLE

    @property
    def bias(self) -> "Source":
        """Where its bias stands: the same part of the bias beside it."""
        stem = self.name.removesuffix(".weight")
        joint = "_" if stem == self.name else "."
        return Source(f"{stem}{joint}bias", replace(self.view, transposed=False))

    def without(self, prefix: str) -> "Source":
        """It in a file whose names lack `prefix`."""
        return replace(self, name=self.name.removeprefix(prefix))


@dataclass(frozen=True)
class Names:
    """What a kind of file calls each parameter; ``{}`` stands for the layer, ``{expert}`` for the expert.

    What is None the family does not have. The norms are those of the input of attention and feed-forward, of their
    results (``post``) and of what enters their last product (``inner``). In a parallel block without a norm of the
    feed-forward, both read the attention's.
    """

    embedding: str | Source
    norm: str | Source
    head: str | Source
    attention_norm: str | Source | None
    query: str | Source
    key: str | Source
    value: str | Source
    output: str | Source
    feed_forward_norm: str | Source | None
    gate: str | Source | None
    up: str | Source
    down: str | Source
    positions: str | Source | None = None
    query_norm: str | Source | None = None
    key_norm: str | Source | None = None
    sinks: str | Source | None = None
    attention_inner_norm: str | Source | None = None
    attention_post_norm: str | Source | None = None
    feed_forward_inner_norm: str | Source | None = None
    feed_forward_post_norm: str | Source | None = None
    router: str | Source | None = None
    selection_bias: str | Source | None = None
    shared_router: str | Source | None = None
    shared_gate: str | Source | None = None
    shared_up: str | Source | None = None
    shared_down: str | Source | None = None
    latent_query: str | Source | None = None
    latent_query_norm: str | Source | None = None
    rotary_query: str | Source | None = None
    latent: str | Source | None = None
    latent_norm: str | Source | None = None
    rotary_key: str | Source | None = None
    expert_gate: str | Source | None = None
    expert_up: str | Source | None = None
    expert_down: str | Source | None = None

    def has(self, name: str) -> bool:
        """Whether the family has a parameter."""
        return getattr(self, name, None) is not None

    def source(self, name: str) -> Source:
        """Where a parameter that the family has stands."""
        source: str | Source = getattr(self, name)
        return Source(source) if isinstance(source, str) else source

    def without(self, prefix: str) -> "Names":
        """The names in a file that lacks `prefix`, as one of the model without its head does."""
        return replace(self, **{name: self.source(name).without(prefix) for name in vars(self) if self.has(name)})
