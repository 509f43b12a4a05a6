"""A pass that reads or replaces weights, beside rewriting the IR."""

from abc import abstractmethod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from codesign.program import Program


class ProgramPass(ModulePass):
    """A pass on a program. Where only IR is at hand (``xdsl-opt``) it sees a program without weights."""

    @abstractmethod
    def rewrite(self, ctx: Context, program: Program) -> Program:
        """The program rewritten: its module in place, its weights, where they change, as a new mapping."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module of a program without weights."""
        self.rewrite(ctx, Program(op))
