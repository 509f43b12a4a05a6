"""What is read of a graph so far: its pieces, and the parameters of the decoder they belong to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Operation, SSAValue

from codesign.frontends.lift.attention import Core, Tracer, cores
from codesign.frontends.lift.graph import Array, Graph, LiftError, producer
from codesign.frontends.lift.pieces import Linear, Norm, linears, norms
from codesign.frontends.lift.weights import Parameters, matrix, vector


@dataclass(frozen=True, eq=False)
class Block:
    """What is added to the stream `entering`: of attention, or of a feed-forward, which has no cores."""

    entering: SSAValue
    delta: SSAValue
    cores: tuple[Core, ...]


@dataclass(eq=False)
class Reading:
    """The pieces of `graph` by their outputs, the values of the stream in turn, and what was found for the decoder."""

    graph: Graph
    parameters: Parameters = field(default_factory=Parameters)
    streams: list[SSAValue] = field(default_factory=list[SSAValue])
    found_norms: list[tuple[str, int | None, Norm]] = field(default_factory=list["tuple[str, int | None, Norm]"])
    activations: set[str] = field(default_factory=set[str])
    parallel: bool = False

    def __post_init__(self) -> None:
        self.linears = {linear.output: linear for linear in linears(self.graph)}
        self.norms = {norm.output: norm for norm in norms(self.graph)}
        self.cores = {core.output: core for core in cores(self.graph)}
        self.tracer = Tracer(self.graph, list(self.linears.values()), list(self.norms.values()))

    def inside(self, value: SSAValue) -> tuple[Core, ...]:
        """The attention that is computed between the stream and a value."""
        made = {result for op in self.graph.cone(value, self.streams) for result in op.results}
        return tuple(core for output, core in self.cores.items() if output in made)

    def norm(self, role: str, layer: int | None, norm: Norm | None) -> None:
        """Add a norm, where there is one."""
        if norm is not None:
            self.found_norms.append((role, layer, norm))

    def product(self, role: str, layer: int | None, linear: Linear, rows: Array | None = None) -> None:
        """Add the weight and the bias of a product, or of rows of it."""
        self.parameters.add(role, matrix(self.graph, linear, rows), layer)
        if linear.bias is not None:
            self.parameters.add(f"{role}_bias", vector(self.graph, linear.bias, rows), layer)

    def result(self, value: SSAValue) -> tuple[SSAValue, Norm | None]:
        """What a block ends with, and the norm of it."""
        value = strip(value)
        norm = self.norms.get(value)
        return (value, None) if norm is None else (strip(norm.input), norm)

    def entering(self, products: Sequence[Linear]) -> tuple[SSAValue, Norm | None]:
        """The stream that products share, and the norm before them."""
        inputs = {strip(linear.input) for linear in products}
        if len(inputs) != 1:
            raise LiftError(f"the {len(products)} first products of a block take {len(inputs)} different inputs")
        (value,) = inputs
        norm = self.norms.get(value)
        value = value if norm is None else strip(norm.input)
        if value not in {strip(stream) for stream in self.streams}:
            raise LiftError("the first products of a block do not take the stream, or its norm")
        return value, norm

    def sources(self, target: SSAValue) -> list[Linear]:
        """The products that a value is made of, in order."""
        reached = self.graph.reaches(target, [*self.linears, *self.streams])
        return self.ordered(reached)

    def ordered(self, outputs: Iterable[SSAValue]) -> list[Linear]:
        """Those of some values that are products, in the order of the graph."""

        def place(linear: Linear) -> int:
            owner = linear.output.owner
            return self.graph.order[owner] if isinstance(owner, Operation) else 0

        return sorted((self.linears[value] for value in outputs if value in self.linears), key=place)


def strip(value: SSAValue) -> SSAValue:
    """What a value is a cast or another shape of."""
    while (op := producer(value)) is not None and op.operator.data in ("cast", "reshape"):
        value = op.inputs[0]
    return value
