"""Chat templates: the text of a conversation as a model was trained to read it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from codesign.program import Program
from codesign.tokenizer import chat_renderer
from codesign.tokenizer.model import TokenizerError
from codesign.weights import open_gguf
from codesign.weights.gguf import Value

TEMPLATE_KEY = "tokenizer.chat_template"

_MAX_TEMPLATE = 1 << 20
_SECONDS = 60.0  # by the clock, on a machine with other things to do; the renderer has a few of CPU

Message = Mapping[str, str]
"""``role`` and ``content``."""


@dataclass(frozen=True)
class Chat:
    """A prompt that is a conversation, which the model's chat template makes a text."""

    messages: Sequence[Message]


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template and the special tokens that it may write, by name (``bos_token``)."""

    template: str
    tokens: Mapping[str, str]

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation, up to where the assistant answers.

        Raises
        ------
        TokenizerError
            When the template refuses the messages, is broken, or takes more time, memory or text than any should.
        """
        if find_spec("jinja2") is None:
            raise TokenizerError("a chat template needs `jinja2`: pip install 'codesign[text]', or give a prompt")
        if len(self.template) > _MAX_TEMPLATE:
            raise TokenizerError(
                f"a chat template of {len(self.template)} characters; at most {_MAX_TEMPLATE} are read"
            )
        values = {**self.tokens, "messages": list(messages), "add_generation_prompt": True}
        values |= {"tools": None, "documents": None}
        command = [sys.executable, "-P", chat_renderer.__file__]
        request = json.dumps({"template": self.template, "values": values})
        try:
            done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise TokenizerError(f"the chat template takes more than {_SECONDS:.0f} s") from None
        if not done.stdout:
            raise TokenizerError(
                f"the chat template takes more than {chat_renderer.CPU_SECONDS} s of CPU, or crashes what renders it"
            )
        answer = cast(dict[str, str], json.loads(done.stdout))
        if "problem" in answer:
            raise TokenizerError(f"the chat template: {answer['problem'][:500]}")
        return answer["text"]


def chat_template_of(program: Program) -> ChatTemplate:
    """The chat template beside a program's weights.

    Raises
    ------
    TokenizerError
        When there is none.
    """
    source = program.source
    if source is None:
        raise TokenizerError(f"{program.name} was not read from a file, which could hold a chat template")
    found = _of_gguf(open_gguf(source).metadata) if source.suffix == ".gguf" else _of_folder(source)
    if found is None:
        raise TokenizerError(f"{source}: holds no chat template: the model was not made for chat; give a prompt")
    return found


def _of_gguf(metadata: Mapping[str, Value]) -> ChatTemplate | None:
    template, texts = metadata.get(TEMPLATE_KEY), metadata.get("tokenizer.ggml.tokens")
    if not isinstance(template, str) or not isinstance(texts, tuple):
        return None
    tokens: dict[str, str] = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(number, int) and 0 <= number < len(texts):
            tokens[f"{name}_token"] = str(texts[number])
    return ChatTemplate(template, tokens)


def _of_folder(folder: Path) -> ChatTemplate | None:
    template = template_of_folder(folder)
    return None if template is None else ChatTemplate(template, special_tokens(folder))


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens that a folder's tokenizer_config.json names."""
    tokens: dict[str, str] = {}
    for name, value in _tokenizer_config(folder).items():
        text = cast(Mapping[str, object], value).get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            tokens[name] = text
    return tokens


def template_of_folder(folder: Path) -> str | None:
    """The template of a Hugging Face folder: in a file of its own, or in tokenizer_config.json, where a list of several
    has one named ``default``."""
    path = folder / "chat_template.jinja"
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path}: cannot be read: {error}") from error
    stated = _tokenizer_config(folder).get("chat_template")
    if isinstance(stated, list):
        named = [cast(Mapping[str, object], one) for one in cast(list[object], stated) if isinstance(one, dict)]
        stated = next((one.get("template") for one in named if one.get("name") == "default"), None)
    return stated if isinstance(stated, str) else None


def _tokenizer_config(folder: Path) -> Mapping[str, object]:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: cannot be read: {error}") from error
    return cast(Mapping[str, object], value) if isinstance(value, dict) else {}
