"""IR text from strangers, read so that every text ends in a module or in a `ParseError` that says where."""

import re

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError
from xdsl.utils.lexer import Input, Span

# A comment, a string literal, the quote of one that never closes, or a number that Python would not read (it takes up
# to 4,300 digits; IR has no use for 20); possessive, so that the search is linear.
_LITERALS = re.compile(r'//[^\n]*|"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"|"|[0-9]{1000}')


MOST_TEXT = 1000
"""Characters of a message that are kept: it may quote names of any length."""


def one_line(error: BaseException | str) -> str:
    """What xDSL says of an error, on a line of bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} …"


def parse_text(text: str, where: str, context: Context) -> ModuleOp:
    """Parse `text` into a module that is not yet verified; `where` is what errors call its origin.

    Raises
    ------
    ParseError
        When the text is not IR.
    VerifyException
        When an attribute of it does not hold.
    """
    # xDSL's lexer takes time exponential in the length of a string that is not closed, so none may reach it.
    for match in _LITERALS.finditer(text):
        if match[0] == '"':
            problem = "the string that begins here does not end on its line, or escapes what cannot be"
        elif match[0].isdecimal():
            problem = "the number that begins here has more digits than any number"
        else:
            continue
        raise ParseError(Span(match.start(), match.end(), Input(text, where)), problem)
    try:
        return Parser(context, text, where).parse_module()
    except RecursionError:
        raise ParseError(Span(0, 0, Input(text, where)), "the text is nested too deeply") from None
