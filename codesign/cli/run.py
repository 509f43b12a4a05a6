"""``codesign run``: text from a model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Chip, Executor, Json, Model, Pipeline, Prompt, Tokens, prompt_of
from codesign.cli.output import Output, note, progress, write_json
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.api import Generation
    from codesign.api import Prompt as AnyPrompt
    from codesign.generation import Sampling
    from codesign.program import Program


def run(
    model: Model,
    pipeline: Pipeline = "",
    chip: Chip = None,
    prompt: Prompt = None,
    tokens: Tokens = None,
    chat: Annotated[
        str | None,
        typer.Option(help="A question, put to the model in the form of its chat template.", show_default=False),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Generate at most this many tokens.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; above it, tokens are drawn.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The seed of what is drawn.")] = 0,
    executor: Executor = None,
    json: Json = False,
) -> None:
    """Generate what follows a prompt, or answer a question.

    The text, or after --tokens the ids, are printed as they come. With --chip, passes may size what they do to that
    chip.
    """
    if chat is not None and (prompt is not None or tokens is not None):
        raise UsageError("give one of --prompt TEXT, --tokens 1,2,3 and --chat TEXT")
    given = prompt_of(prompt, tokens) if chat is None else None
    from codesign import api
    from codesign.generation import Sampling
    from codesign.tokenizer import Chat

    start = Chat([{"role": "user", "content": chat or ""}]) if given is None else given

    sampling = Sampling(temperature, seed)
    with progress("loading"):
        target = None if chip is None else api.load_chip(chip)
        program = api.compile(api.load_model(model), target, pipeline)
    if json:
        write_json(api.run(program, start, max_tokens=max_tokens, sampling=sampling, executor=executor).to_dict())
        return
    result = generate(program, start, max_tokens=max_tokens, sampling=sampling, executor=executor, write=Output().write)
    note(f"{len(result.tokens)} tokens in {result.seconds:.2f} s, {result.tokens_per_second:.0f} tokens/s")


def generate(
    program: "Program",
    prompt: "AnyPrompt",
    *,
    max_tokens: int,
    sampling: "Sampling",
    write: Callable[[str], None],
    executor: str | None = None,
) -> "Generation":
    """Generate tokens and write each as it comes: as text after a text, as its id after ids."""
    from codesign import api
    from codesign.tokenizer import Chat

    if not isinstance(prompt, str | Chat):
        result = api.run(
            program,
            prompt,
            max_tokens=max_tokens,
            sampling=sampling,
            executor=executor,
            on_token=lambda token: write(f"{token} "),
        )
        write("\n")
        return result
    text = api.tokenizer_of(program).stream()
    result = api.run(
        program,
        prompt,
        max_tokens=max_tokens,
        sampling=sampling,
        executor=executor,
        on_token=lambda token: write(text.push(token)),
    )
    write(text.finish() + "\n")
    return result
