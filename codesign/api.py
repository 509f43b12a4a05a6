"""The verbs: load, compile, run, cost, emit, simulate, synthesize. The command line calls these and nothing below."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from codesign.errors import CodesignError, UsageError, nearest
from codesign.evaluation import TOKENS, WINDOW, Evaluation, score, windows_of
from codesign.files import write_whole
from codesign.generation import Sampling, generate
from codesign.ir import apply_passes, parse_module, parse_passes
from codesign.plan import Degrees, Pools
from codesign.plugins.backend import (
    AnyArray,
    Cost,
    CostModel,
    CycleModel,
    Cycles,
    Emitter,
    Executor,
    Simulation,
    Synthesis,
    Synthesizer,
    TensorExecutor,
    Validated,
    Validation,
)
from codesign.plugins.frontend import GraphReader, ObjectReader, WeightsReader
from codesign.plugins.manager import plugins
from codesign.program import WEIGHTS, Program
from codesign.speculation import Draft
from codesign.texts import scored_text
from codesign.tokenizer.chat import Chat, chat_template_of
from codesign.tokenizer.source import tokenizer_of
from codesign.weights import StoredTensor, open_safetensors, open_weights, write_safetensors
from codesign.workload import Workload
from codesign_dialects.microcode import ProgramOp

if TYPE_CHECKING:
    from codesign.chips import Chip


@dataclass(frozen=True)
class Generation:
    """Generated tokens, their text where the model has a tokenizer, and how fast they came."""

    tokens: tuple[int, ...]
    text: str | None
    prompt_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens over the whole time, the prompt's included."""
        return len(self.tokens) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign run``."""
        return {
            "tokens": list(self.tokens),
            "text": self.text,
            "prompt_tokens": self.prompt_tokens,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
        }


def load_model(source: str | Path | object) -> Program:
    """Load a model: a name of the library, a Hugging Face folder or config.json, a .gguf, .onnx or .pt2 file, IR that
    `save` wrote, or what ``torch.export.export`` returns.

    Raises
    ------
    CodesignError
        When it does not exist, is broken, or holds something unsupported.
    """
    if not isinstance(source, str | Path):
        return _load_object(source)
    library = plugins().models()
    path = library.get(str(source), Path(source))
    if not path.exists():
        raise UsageError(f"no model is called '{source}' and no such file exists.{nearest(str(source), library)}")
    if path.suffix == ".mlir":
        return _load_ir(path)
    for frontend in plugins().frontends():
        if frontend.accepts(path):
            return frontend.load(path)
    known = "; ".join(frontend.description for frontend in plugins().frontends())
    raise CodesignError(f"{path}: no frontend reads this; known: {known}")


def load_graph(source: str | Path) -> Program:
    """Load a file as the graph of generic operators that it holds, which `compute` takes, even where it is a decoder;
    anything else as `load_model` does."""
    path = Path(source)
    for frontend in plugins().frontends():
        if isinstance(frontend, GraphReader) and path.exists() and frontend.accepts(path):
            return frontend.graph(path)
    return load_model(source)


def _load_object(source: object) -> Program:
    for frontend in plugins().frontends():
        if isinstance(frontend, ObjectReader) and frontend.accepts_object(source):
            return frontend.load_object(source)
    raise UsageError(
        f"a model is loaded from a path, a name or an exported program, not from a {type(source).__name__}"
    )


def _load_ir(path: Path) -> Program:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CodesignError(f"{path}: cannot be read as IR: {error}") from error
    program = Program(parse_module(text, str(path), plugins().context()))
    weights: dict[str, StoredTensor] = {}
    if program.source is not None:
        if not program.source.exists():
            raise CodesignError(f"{path}: its weights are said to be in {program.source}, which does not exist")
        weights.update(_weights_of(program.source))
    if program.replaced is not None:
        if Path(program.replaced).name != program.replaced:
            raise CodesignError(f"{path}: its `{WEIGHTS}` must be a file beside it, not {program.replaced!r}")
        weights.update(open_safetensors(path.parent / program.replaced).tensors)
    return Program(program.module, weights or None)


def _weights_of(source: Path) -> Mapping[str, StoredTensor]:
    for frontend in plugins().frontends():
        if isinstance(frontend, WeightsReader) and frontend.accepts(source):
            return frontend.weights(source)
    return open_weights(source)


def save(program: Program, path: str | Path) -> None:
    """Write a program's IR, and beside it as .safetensors the weights that passes replaced; others stay in their
    files."""
    path = Path(path)
    replaced = [tensor for tensor in (program.weights or {}).values() if tensor.mapping is None]
    module = program.module.clone()
    module.attributes.pop(WEIGHTS, None)
    if replaced:
        weights = path.with_suffix(".safetensors")
        write_safetensors(weights, replaced)
        module.attributes[WEIGHTS] = StringAttr(weights.name)
    write_whole(path, f"{module!s}\n")


@dataclass(frozen=True)
class Export:
    """What was written where, and what of it otherwise than the program stores it."""

    path: Path
    nbytes: int
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign export``."""
        return {"output": str(self.path), "bytes": self.nbytes, "remarks": list(self.remarks)}


def export(program: Program, path: str | Path) -> Export:
    """Write a program as a file that other tools read, of the kind that the suffix of `path` names; without one, a
    Hugging Face folder."""
    path = Path(path)
    exporters = {exporter.suffix: exporter for exporter in plugins().exporters()}
    # The name of a folder may end in a version, as in Llama-3.1-8B.
    suffix = path.suffix if path.suffix[1:].isalpha() else ""
    if suffix not in exporters:
        known = "; ".join(exporter.description for exporter in exporters.values())
        raise UsageError(f"{path}: no exporter writes *{suffix}; known: {known}")
    remarks = exporters[suffix].export(program, path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Export(path, sum(file.stat().st_size for file in files), tuple(remarks))


def load_chip(name: str | Path) -> "Chip":
    """Load a chip: a name of the library, or an ``.mlir`` file."""
    from codesign.chips import read_chip  # what only reads a model does without the dialect of chips

    library = plugins().chips()
    path = library.get(str(name), Path(name))
    if not path.exists():
        raise UsageError(f"no chip is called '{name}' and no such file exists.{nearest(str(name), library)}")
    plugins().register_number_formats()
    return read_chip(path)


def compile(
    model: Program,
    chip: "Chip | None" = None,
    pipeline: str | Sequence[ModulePass] = "",
    *,
    after: Callable[[ModulePass, ModuleOp], None] | None = None,
) -> Program:
    """The program of `model` on `chip`, with the passes of `pipeline` applied; `after` sees the module after each
    pass."""
    passes = parse_passes(pipeline, plugins()) if isinstance(pipeline, str) else tuple(pipeline)
    if chip is not None:
        model = model.with_module(model.module.clone())
        chip.put_into(model.module)
    return apply_passes(model, passes, plugins().context(), after)


Prompt: TypeAlias = str | Sequence[int] | Chat
"""A text, token ids, or a conversation."""


def encode(program: Program, prompt: Prompt) -> list[int]:
    """The token ids of a prompt, which may be ids already.

    A conversation is rendered by the model's chat template, which itself writes the ids that start a text.
    """
    if isinstance(prompt, Chat):
        rendered = chat_template_of(program).render(prompt.messages)
        tokens = tokenizer_of(program).encode(rendered, bare=True)
    else:
        tokens = tokenizer_of(program).encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not tokens:
        raise UsageError("the prompt is empty: give at least one token")
    return tokens


def run(
    program: Program,
    prompt: Prompt,
    *,
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    executor: str | None = None,
    on_token: Callable[[int], None] | None = None,
) -> Generation:
    """Generate up to `max_tokens` tokens that follow `prompt`; `on_token` sees each as it comes.

    The time counts from the prompt to the last token, once the program is compiled and its weights are prepared.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens must be at least 1, got {max_tokens}")
    prompt_tokens = encode(program, prompt)
    session = plugins().backend(Executor, executor).session(program, context=len(prompt_tokens) + max_tokens)
    start = time.perf_counter()
    tokens: list[int] = []
    for token in generate(session, prompt_tokens, max_tokens, sampling=sampling, stop=program.stop_tokens):
        tokens.append(token)
        if on_token is not None:
            on_token(token)
    seconds = time.perf_counter() - start
    text = tokenizer_of(program).decode(tokens) if isinstance(prompt, str | Chat) else None
    return Generation(tuple(tokens), text, len(prompt_tokens), seconds)


def evaluate(
    program: Program,
    text: str | Sequence[int] | None = None,
    *,
    reference: Program | None = None,
    max_tokens: int = TOKENS,
    executor: str | None = None,
    on_window: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score the first `max_tokens` tokens of `text` (Python's help topics unless given), in windows of up to 512, and
    compare with `reference` token by token."""
    if max_tokens < 2:
        raise UsageError(f"max_tokens must be at least 2, got {max_tokens}")
    if text is None:
        text = scored_text()
    tokens = encode(program, text)[:max_tokens]
    window = min(WINDOW, program.context or WINDOW)
    backend = plugins().backend(Executor, executor)
    windows = windows_of(tokens, window)
    compared = None if reference is None else backend.session(reference, context=window)
    return score(backend.session(program, context=window), windows, reference=compared, on_window=on_window)


def compute(program: Program, inputs: Mapping[str, AnyArray], *, executor: str | None = None) -> Mapping[str, AnyArray]:
    """The outputs by name of a program of tensors, as an ONNX file is; `inputs` are arrays by name.

    Raises
    ------
    CodesignError
        When an input is not of the type that the program states, or an operator cannot run.
    """
    return plugins().backend(TensorExecutor, executor).evaluate(program, inputs)


def cost(
    program: Program,
    workload: Workload | None = None,
    *,
    chips: int | None = None,
    degrees: Degrees | None = None,
    draft: Draft | None = None,
    pools: Sequence[Pools] = (),
    model: str | None = None,
) -> Cost:
    """Price a request on the chip that the program was compiled for, or on `chips` of it, its tokens proposed by a
    `draft` if there is one.

    Several chips divide the model as is fastest; `degrees`, such as ``{"tensor": 4, "data": 2}``, fixes some or all of
    the degrees of :class:`codesign.plan.Plan`, and needs as many chips if none are given.

    With `pools`, chips that work on prompts and chips that generate stand apart: the fastest of these divisions is
    priced, and `chips` is theirs. The workload states a concurrency.
    """
    backend = plugins().backend(CostModel, model)
    return backend.cost(program, workload or Workload(), chips=chips, degrees=degrees, draft=draft, pools=pools)


def validate(*, source: str = "", model: str | None = None) -> Validation:
    """Compare the cost model with published measurements, of the sources with `source` in their name."""
    return plugins().backend(Validated, model).validate(source=source)


@dataclass(frozen=True)
class Comparison:
    """A simulation beside what was predicted of it."""

    simulation: Simulation
    predicted: Cycles
    stalled: bool = False

    @property
    def exact(self) -> bool:
        """Whether values were compared and all agree, and so do the cycles: in all and in the table of each queue.

        A memory that stalls at random leaves only the values to be compared.
        """
        simulation = self.simulation
        right = simulation.compared > 0 and simulation.mismatches == 0
        return right and (self.stalled or (simulation.cycles == self.predicted.total and not self.differing_queues))

    @property
    def differing_queues(self) -> list[str]:
        """Queues whose counted cycles are not the predicted ones."""
        counted, predicted = self.simulation.queues, self.predicted.queues
        return [
            name
            for name, queue in predicted.items()
            if name not in counted or (counted[name].busy, counted[name].waiting) != (queue.busy, queue.waiting)
        ]

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign simulate``."""
        simulation, predicted = self.simulation, self.predicted
        return {
            "simulator": simulation.simulator,
            "tokens": list(simulation.tokens),
            "cycles": simulation.cycles,
            "predicted_cycles": predicted.total,
            "compared": simulation.compared,
            "mismatches": simulation.mismatches,
            "first_mismatch": simulation.first_mismatch,
            "queues": {
                name: {"busy": queue.busy, "waiting": queue.waiting} for name, queue in simulation.queues.items()
            },
            "predicted_queues": {
                name: {"busy": queue.busy, "waiting": queue.waiting, "waiting_for": dict(queue.waiting_for)}
                for name, queue in predicted.queues.items()
            },
            "predicted_units": dict(predicted.units),
            "waves": None if simulation.waves is None else str(simulation.waves),
        }


MICROCODE_PASSES = "lower-to-microcode,schedule"
"""What `emit` adds to a program that has no microcode yet."""


def emit(
    program: Program,
    directory: str | Path,
    *,
    prompt: str | Sequence[int],
    max_tokens: int = 32,
    emitter: str | None = None,
) -> Path:
    """Write the program's chip as Verilog, with its microcode, the image of its memory, and a testbench in which it
    continues `prompt` by `max_tokens` tokens.

    A program without microcode is lowered first.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens must be at least 1, got {max_tokens}")
    directory, tokens = Path(directory), encode(program, prompt)
    if not any(isinstance(op, ProgramOp) for op in program.module.ops):
        program = compile(program, None, MICROCODE_PASSES)
    plugins().backend(Emitter, emitter).emit(program, directory, prompt=tokens, max_tokens=max_tokens)
    return directory


def simulate(
    directory: str | Path,
    *,
    max_tokens: int | None = None,
    simulator: str = "verilator",
    waves: bool = False,
    stall_seed: int = 0,
    time_limit: float = 3600.0,
    emitter: str | None = None,
    model: str | None = None,
) -> Comparison:
    """Simulate what `emit` wrote; compare all that crosses the ports of its units with the microcode's own values, and
    the cycles with the cost model's prediction.

    `max_tokens` other than those emitted for are generated instead. `stall_seed` above 0 makes the memory wait at
    random, which changes cycles and no value.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; write one with `codesign emit`")
    if max_tokens is not None and max_tokens < 1:
        raise UsageError(f"max_tokens must be at least 1, got {max_tokens}")
    backend = plugins().backend(Emitter, emitter)
    emission = backend.read(directory)
    count = emission.max_tokens if max_tokens is None else max_tokens
    program = Program(parse_module(emission.program, str(directory), plugins().context()))
    predicted = plugins().backend(CycleModel, model).cycles(program, len(emission.prompt), count)
    simulation = backend.simulate(
        directory,
        program,
        prompt=emission.prompt,
        max_tokens=count,
        simulator=simulator,
        waves=waves,
        stall_seed=stall_seed,
        time_limit=time_limit,
    )
    return Comparison(simulation, predicted, stalled=stall_seed != 0)


def synthesize(
    directory: str | Path,
    *,
    liberty: str | Path | None = None,
    time_limit: float = 1800.0,
    on_step: Callable[[str], None] | None = None,
    synthesizer: str | None = None,
) -> Synthesis:
    """Map what `emit` wrote to the cells of a Liberty file, or of the library that is installed, unit by unit.

    Each run of a tool takes at most `time_limit` seconds; `on_step` is told what is being done.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; write one with `codesign emit`")
    backend = plugins().backend(Synthesizer, synthesizer)
    return backend.synthesize(
        directory,
        liberty=None if liberty is None else Path(liberty),
        time_limit=time_limit,
        on_step=on_step or (lambda _: None),
    )
