"""The parameters that linear operations multiply by: which a pass takes, and how their types change."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatch

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.rewriter import Rewriter

from codesign.errors import CodesignError
from codesign_dialects.encoding import Encoding
from codesign_dialects.transformer import GetOp, LinearOp, ParameterOp
from codesign_dialects.transformer.shapes import tensor_of, with_encoding


def weight_name(linear: LinearOp) -> str | None:
    """The parameter that is the weight of `linear`."""
    get = linear.weight.owner
    return get.parameter.string_value() if isinstance(get, GetOp) else None


def chosen_weights(module: ModuleOp, skip: Sequence[str]) -> list[str]:
    """The weights of linear operations in the order of their use, without those that match a pattern of `skip`."""
    names = dict.fromkeys(weight_name(op) for op in module.walk() if isinstance(op, LinearOp))
    return [name for name in names if name and not any(fnmatch(name, pattern) for pattern in skip)]


def refuse_unmatched(pass_name: str, skip: Sequence[str], parameters: Iterable[str]) -> None:
    """Refuse a pattern of `skip` that matches no parameter."""
    names = list(parameters)
    for pattern in skip:
        if not any(fnmatch(name, pattern) for name in names):
            raise CodesignError(f"{pass_name}: skip={pattern} matches no parameter; the module has {', '.join(names)}")


def store_as(module: ModuleOp, name: str, encoding: Encoding, derivation: str | None) -> None:
    """Give the parameter `name`, and every value read from it, another encoding."""
    for op in module.walk():
        if isinstance(op, ParameterOp) and op.sym_name.data == name:
            op.type = with_encoding(op.type, encoding)
            op.derivation = None if derivation is None else StringAttr(derivation)
        elif isinstance(op, GetOp) and op.parameter.string_value() == name:
            Rewriter.replace_value_with_new_type(op.result, with_encoding(tensor_of(op.result), encoding))
