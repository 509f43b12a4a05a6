"""The arguments and options that several commands share."""

from typing import Annotated

import typer

from codesign.errors import UsageError

Model = Annotated[
    str,
    typer.Argument(
        help="A model of the library, a Hugging Face folder, a .gguf or .onnx file, or IR (.mlir).", show_default=False
    ),
]
Chip = Annotated[
    str | None, typer.Option("--chip", help="A chip of the library, or an .mlir file.", show_default=False)
]
Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline", "-p", help="Passes, such as quantize{weights=int8},block-attention.", show_default=False
    ),
]
Prompt = Annotated[str | None, typer.Option(help="The text to continue.", show_default=False)]
Tokens = Annotated[str | None, typer.Option(help="Token ids instead of a text, such as 1,2,3.", show_default=False)]
Executor = Annotated[
    str | None,
    typer.Option("--executor", help="What runs it: numpy, or numba of codesign[fast].", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]


def prompt_of(prompt: str | None, tokens: str | None) -> str | list[int]:
    """The prompt, given as text or as token ids.

    Raises
    ------
    UsageError
        When both or neither are given, or an id is not a number.
    """
    if (prompt is None) == (tokens is None):
        raise UsageError("give either --prompt TEXT or --tokens 1,2,3")
    if tokens is None:
        assert prompt is not None
        return prompt
    try:
        return [int(token) for token in tokens.split(",")]
    except ValueError:
        raise UsageError(f"--tokens takes ids separated by commas, such as 1,2,3; got '{tokens}'") from None
