"""ONNX files as they are written: the graph, and its weights in a file beside it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto, helper
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from codesign.errors import CodesignError
from codesign.exporters.onnx.graph import BATCH, PAST, TOKENS, TOTAL, Graph, Weight
from codesign.exporters.onnx.operations import OWN, WRITERS, Step, write_own
from codesign.exporters.onnx.parameters import Weights
from codesign.files import write_whole
from codesign.program import Program
from codesign_dialects.transformer import AttentionOp, GetOp, KVCacheType, LastTokensOp, RepeatOp
from codesign_dialects.transformer.shapes import features

OPERATOR_SET, FORMAT = 23, 11
"""The first operator set with Attention, RotaryEmbedding and RMSNormalization, and the version of files that it came
with (https://onnx.ai/onnx/repo-docs/Versioning.html)."""


def write(program: Program, target: Path) -> Sequence[str]:
    """Write a program to the file `target` and its weights to ``target.data``; return remarks.

    Raises
    ------
    CodesignError
        Where the program is no decoder, or holds what has no form as a graph.
    """
    location = f"{target.name}.data"
    model, placed, remarks = model_of(program, location)
    if placed:
        write_whole(target.with_name(location), _pieces(placed))
        nbytes = target.with_name(location).stat().st_size
        remarks.append(f"the weights are beside it: {location}, {nbytes} bytes")
    write_whole(target, model.SerializeToString())
    return remarks


def model_of(program: Program, location: str) -> tuple[ModelProto, list[tuple[int, Weight]], list[str]]:
    """The model whose weights are in the file `location`, where in it each begins, and remarks."""
    graph = Graph()
    writer = _Writer(program, graph)
    logits = writer.step()
    weights, placed = graph.externals(location)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH, TOKENS])
        for name in ("input_ids", "position_ids")
    ]
    if program.weights is None:
        for weight in weights:
            inputs.append(helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
        weights, placed = [], []
    outputs = [logits]
    for layer, (heads, sizes) in writer.caches.items():
        for part, size in zip(("key", "value"), sizes, strict=True):
            for values, name, extent in (
                (inputs, f"past_key_values.{layer}.{part}", PAST),
                (outputs, f"present.{layer}.{part}", TOTAL),
            ):
                shape = [BATCH, heads, extent, size]
                values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    domains = [helper.make_opsetid("", OPERATOR_SET)]
    if writer.unknown:
        domains.append(helper.make_opsetid(OWN, 1))
    made = helper.make_graph(
        graph.nodes,
        program.name,
        inputs,
        outputs,
        [*graph.constants.values(), *weights],
        value_info=[info for info in graph.infos if info.name != logits.name],
    )
    model = helper.make_model(made, opset_imports=domains, ir_version=FORMAT, producer_name="codesign")
    unknown = [
        f"{name} has no form in the standard: it is written as a node of the domain {OWN}, which viewers show and "
        "runtimes do not run"
        for name in writer.unknown
    ]
    return model, placed, [*writer.weights.remarks, *unknown]


def _pieces(placed: Sequence[tuple[int, Weight]]) -> Iterator[bytes]:
    end = 0
    for start, weight in placed:
        yield bytes(start - end)
        yield weight.pack().tobytes()
        end = start + weight.nbytes


class _Writer:
    """Walks the step, its layers unrolled."""

    def __init__(self, program: Program, graph: Graph):
        self.program, self.graph = program, graph
        self.weights = Weights(program, graph)
        self.unknown: dict[str, None] = {}
        self.caches: dict[int, tuple[int, tuple[int, int]]] = {}
        self._step = Step(graph, "input_ids", "position_ids", program.context or 0, self._past)
        self._functions = {op.sym_name.data: op for op in program.module.ops if isinstance(op, FuncOp)}

    def step(self) -> ValueInfoProto:
        """Write the step; return what the logits are."""
        block = self.program.step.body.block
        (result,) = self._block(block)[:1]
        value = self._results(block)[0]
        self.graph.node_of_many("Identity", [result], ["logits"], {})
        return helper.make_tensor_value_info("logits", TensorProto.FLOAT, [BATCH, TOKENS, features(value)])

    def _past(self, layer: int) -> tuple[str, str]:
        return f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"

    def _results(self, block: Block) -> Sequence[SSAValue]:
        terminator = block.last_op
        assert isinstance(terminator, ReturnOp)
        return terminator.arguments

    def _block(self, block: Block) -> list[str]:
        """Write the operations of a block; return the names of what it returns, empty for a cache."""
        names = self.graph.names
        for op in block.ops:
            match op:
                case ReturnOp():
                    pass
                case GetOp():
                    layer = None if op.layer is None else self._step.layers[op.layer]
                    names[op.result] = self.weights.get(op.parameter.string_value(), layer)
                case RepeatOp():
                    self._repeat(op)
                case LastTokensOp():
                    # The logits of all tokens are given.
                    names[op.result] = names[op.input]
                case _:
                    self._operation(op)
        return [names.get(value, "") for value in self._results(block)]

    def _operation(self, op: Operation) -> None:
        if op.regions:
            raise CodesignError(
                f"ONNX: {op.name} is not written: leave out the pass that made it, such as block-attention"
            )
        writer = WRITERS.get(type(op), write_own)
        if isinstance(op, AttentionOp):
            cache = op.cache.type
            assert isinstance(cache, KVCacheType)
            writer = write_own if op.sinks is not None else writer
            if writer is not write_own:
                self.caches[self._step.layers[op.layer]] = cache.heads.data, (cache.size.data, cache.values.data)
        if writer is write_own:
            self.unknown[op.name] = None
        written = writer(op, self._step)
        for result, name in zip(op.results, [written] if isinstance(written, str) else written, strict=False):
            self.graph.value(result, name)

    def _repeat(self, op: RepeatOp) -> None:
        block = self._functions[op.layer.string_value()].body.block
        carried = [self.graph.names.get(value, "") for value in op.carried]
        shared = [self.graph.names.get(value, "") for value in op.shared]
        for layer in op.layers:
            with self.graph.inside(f"layers.{layer}"):
                self._step.layers[block.args[0]] = layer
                for argument, name in zip(block.args[1:], [*carried, *shared], strict=True):
                    self.graph.names[argument] = name
                carried = self._block(block)
        self.graph.names.update(zip(op.outputs, carried, strict=True))
