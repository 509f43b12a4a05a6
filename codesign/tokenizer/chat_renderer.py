"""Renders a chat template in a process of its own: strangers write templates, and Jinja bounds neither time nor memory.

Run as a script: a JSON object ``{"template", "values"}`` on stdin, ``{"text"}`` or ``{"problem"}`` on stdout. The
environment is that of ``transformers`` (`utils/chat_template_utils.py`, version 5), whose templates these are.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

CPU_SECONDS = 3
MEMORY_BYTES = 1 << 30
MAX_TEXT = 1 << 20


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows: the caller's clock is the only bound
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _environment() -> Any:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}``, which marks what the assistant says: for training; text here."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: object, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        # Jinja's own escapes HTML.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    now: Callable[[str], str] = lambda format: datetime.now().strftime(format)  # noqa: E731
    environment: Any = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=raise_exception, strftime_now=now)
    return environment


def _render(template: str, values: dict[str, object]) -> dict[str, str]:
    from jinja2.exceptions import TemplateError

    try:
        text: str = _environment().from_string(template).render(**values)
    except TemplateError as error:
        return {"problem": error.message or type(error).__name__}
    except MemoryError:
        return {"problem": f"it takes more than {MEMORY_BYTES >> 20} MiB"}
    except Exception as error:  # what an expression of the template raises
        return {"problem": f"{type(error).__name__}: {error}"}
    return {"text": text} if len(text) <= MAX_TEXT else {"problem": f"it makes more than {MAX_TEXT} characters"}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    _limit()
    json.dump(_render(request["template"], request["values"]), sys.stdout)
