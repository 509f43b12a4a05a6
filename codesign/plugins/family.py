"""What an architecture family is: how the configuration of a Hugging Face model reads."""

from collections.abc import Mapping
from typing import Protocol

from xdsl.dialects.builtin import ModuleOp

from codesign.weights import StoredTensor


class Family(Protocol):
    """Reads the configurations of one ``model_type``. `codesign.frontends.family.DecoderFamily` is one by data."""

    def module(self, config: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor] | None) -> ModuleOp:
        """The model of `config`, its parameters found in `tensors` where there are any.

        Raises
        ------
        CodesignError
            For a field that is missing, wrong or not supported, and a tensor that is missing; says `where`.
        """
        ...
