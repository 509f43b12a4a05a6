"""The verbs: load, compile, run, cost, emit, simulate. The command line calls these and nothing below."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from codesign.chips import Chip, read_chip
from codesign.errors import CodesignError, UsageError, nearest
from codesign.evaluation import TOKENS, WINDOW, Evaluation, score, windows_of
from codesign.files import write_whole
from codesign.generation import Sampling, generate
from codesign.ir import apply_passes, parse_module, parse_passes
from codesign.plugins.backend import (
    Cost,
    CostModel,
    CycleModel,
    Cycles,
    Emitter,
    Executor,
    Simulation,
    Validated,
    Validation,
)
from codesign.plugins.manager import plugins
from codesign.program import WEIGHTS, Program
from codesign.texts import scored_text
from codesign.tokenizer.source import tokenizer_of
from codesign.weights import StoredTensor, open_safetensors, open_weights, write_safetensors
from codesign.workload import Workload


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


def load_model(source: str | Path) -> Program:
    """Load a model: a name of the library, a Hugging Face folder or config.json, a .gguf file, or IR that `save` wrote.

    Raises
    ------
    CodesignError
        When it does not exist, is broken, or holds something unsupported.
    """
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
        weights.update(open_weights(program.source))
    if program.replaced is not None:
        if Path(program.replaced).name != program.replaced:
            raise CodesignError(f"{path}: its `{WEIGHTS}` must be a file beside it, not {program.replaced!r}")
        weights.update(open_safetensors(path.parent / program.replaced).tensors)
    return Program(program.module, weights or None)


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


def load_chip(name: str | Path) -> Chip:
    """Load a chip: a name of the library, or an ``.mlir`` file."""
    library = plugins().chips()
    path = library.get(str(name), Path(name))
    if not path.exists():
        raise UsageError(f"no chip is called '{name}' and no such file exists.{nearest(str(name), library)}")
    plugins().register_number_formats()
    return read_chip(path)


def compile(
    model: Program,
    chip: Chip | None = None,
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


def encode(program: Program, prompt: str | Sequence[int]) -> list[int]:
    """The token ids of a prompt, which may be ids already."""
    tokens = tokenizer_of(program).encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not tokens:
        raise UsageError("the prompt is empty: give at least one token")
    return tokens


def run(
    program: Program,
    prompt: str | Sequence[int],
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
    text = tokenizer_of(program).decode(tokens) if isinstance(prompt, str) else None
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


def cost(
    program: Program, workload: Workload | None = None, *, chips: int = 1, stages: int = 1, model: str | None = None
) -> Cost:
    """Price a request on the chip that the program was compiled for, or on `chips` of it in `stages` of a pipeline."""
    return plugins().backend(CostModel, model).cost(program, workload or Workload(), chips=chips, stages=stages)


def validate(*, source: str = "", model: str | None = None) -> Validation:
    """Compare the cost model with published measurements, of the sources with `source` in their name."""
    return plugins().backend(Validated, model).validate(source=source)


@dataclass(frozen=True)
class Comparison:
    """A simulation beside what was predicted of it."""

    simulation: Simulation
    predicted: Cycles

    @property
    def exact(self) -> bool:
        """Whether values were compared, all agree, and so does the number of cycles."""
        simulation = self.simulation
        return simulation.compared > 0 and simulation.mismatches == 0 and simulation.cycles == self.predicted.total

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign simulate``."""
        simulation = self.simulation
        return {
            "simulator": simulation.simulator,
            "tokens": list(simulation.tokens),
            "cycles": simulation.cycles,
            "predicted_cycles": self.predicted.total,
            "predicted_busy": dict(self.predicted.busy),
            "compared": simulation.compared,
            "mismatches": simulation.mismatches,
            "first_mismatch": simulation.first_mismatch,
            "waves": None if simulation.waves is None else str(simulation.waves),
        }


def emit(
    program: Program,
    directory: str | Path,
    *,
    prompt: str | Sequence[int],
    layer: int = 0,
    executor: str | None = None,
    emitter: str | None = None,
) -> Path:
    """Write the program's chip as Verilog, with the microcode and images of one layer's products on `prompt`.

    The layer is lowered by ``lower-to-microcode`` for as many tokens as `prompt` has.
    """
    directory, tokens = Path(directory), encode(program, prompt)
    trace = plugins().backend(Executor, executor).trace(program, tokens, layer=layer)
    lowered = compile(program, None, f"lower-to-microcode{{tokens={len(tokens)} layer={layer}}}")
    plugins().backend(Emitter, emitter).emit(lowered, trace, directory)
    return directory


def simulate(
    directory: str | Path,
    *,
    simulator: str = "verilator",
    waves: bool = False,
    time_limit: float = 600.0,
    emitter: str | None = None,
    model: str | None = None,
) -> Comparison:
    """Simulate what `emit` wrote; compare every value with the executor's, and the cycles with the cost model's
    prediction."""
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; write one with `codesign emit`")
    backend = plugins().backend(Emitter, emitter)
    module = parse_module(backend.read(directory), str(directory), plugins().context())
    predicted = plugins().backend(CycleModel, model).cycles(Program(module))
    simulation = backend.simulate(directory, simulator=simulator, waves=waves, time_limit=time_limit)
    return Comparison(simulation, predicted)
