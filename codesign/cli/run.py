"""``codesign run``: text from a model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Chip, Executor, Json, Model, Pipeline, Prompt, Tokens, prompt_of
from codesign.cli.output import Output, note, progress, write_json

if TYPE_CHECKING:
    from codesign.api import Generation
    from codesign.generation import Sampling
    from codesign.program import Program


def run(
    model: Model,
    pipeline: Pipeline = "",
    chip: Chip = None,
    prompt: Prompt = None,
    tokens: Tokens = None,
    max_tokens: Annotated[int, typer.Option(help="Generate at most this many tokens.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; above it, tokens are drawn.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The seed of what is drawn.")] = 0,
    executor: Executor = None,
    json: Json = False,
) -> None:
    """Generate what follows a prompt.

    The text, or after --tokens the ids, are printed as they come. With --chip, passes may size what they do to that
    chip.
    """
    start = prompt_of(prompt, tokens)
    from codesign import api
    from codesign.generation import Sampling

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
    prompt: str | list[int],
    *,
    max_tokens: int,
    sampling: "Sampling",
    write: Callable[[str], None],
    executor: str | None = None,
) -> "Generation":
    """Generate tokens and write each as it comes: as text after a text, as its id after ids."""
    from codesign import api

    if not isinstance(prompt, str):
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
