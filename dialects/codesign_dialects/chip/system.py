"""A system: instances of designs and the links between them."""

from typing import ClassVar

from typing_extensions import override
from xdsl.irdl import irdl_op_definition
from xdsl.traits import SymbolTable
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.chip.design import DesignOp, Link, LinkOp
from codesign_dialects.chip.parameter import nearest, quantity, record, symbol
from codesign_dialects.chip.part import Container, ContainerOp, Part, PartOp
from codesign_dialects.quantity import MONEY, POWER


@record
class Instance(Part):
    """`count` chips of one design."""

    design: str = symbol("The design each of them is")


@record
class System(Container):
    """Chips and the links between them."""

    power: float | None = quantity(POWER, "Power of the whole, host included", default=None)
    price: float | None = quantity(MONEY, "Price of the whole", default=None)


@irdl_op_definition
class InstanceOp(PartOp):
    """``chip.instance @gpu count(8) {design = @h100}``."""

    name = "chip.instance"
    RECORD: ClassVar = Instance
    HOMES: ClassVar = ("chip.system",)

    @override
    def part(self) -> Instance:
        """What the instance states."""
        instance = super().part()
        assert isinstance(instance, Instance)
        return instance

    def design(self) -> DesignOp:
        """The design that each chip of this instance is.

        Raises
        ------
        VerifyException
            When no design of that name is beside the system.
        """
        system = self.parent_op()
        module = None if system is None else system.parent_op()
        instance = self.part()
        if module is not None and module.has_trait(SymbolTable):
            found = SymbolTable.lookup_symbol(module, instance.design)
            if isinstance(found, DesignOp):
                return found
            designs = [op.sym_name.data for op in module.walk() if isinstance(op, DesignOp)]
            raise VerifyException(
                f"{self.name} @{self.sym_name.data}: no design @{instance.design}.{nearest(instance.design, designs)}"
            )
        raise VerifyException(f"{self.name} @{self.sym_name.data} stands in no module with designs")


@irdl_op_definition
class SystemOp(ContainerOp):
    """``chip.system @server { chip.instance @gpu count(8) {design = @h100} chip.link … }``."""

    name = "chip.system"
    RECORD: ClassVar = System
    HOMES: ClassVar = ("builtin.module",)

    @property
    def instances(self) -> tuple[InstanceOp, ...]:
        """The instances of the system, in order."""
        return tuple(op for op in self.body.ops if isinstance(op, InstanceOp))

    @override
    def verify_(self) -> None:
        super().verify_()
        where = f"{self.name} @{self.sym_name.data}"
        if not self.instances:
            raise VerifyException(f"{where} holds no chip.instance")
        if self.parent_op() is not None:
            for instance in self.instances:
                instance.design()
        names = [instance.sym_name.data for instance in self.instances]
        for link in (op.part() for op in self.body.ops if isinstance(op, LinkOp)):
            for name in (link.instances or ()) if isinstance(link, Link) else ():
                if name not in names:
                    raise VerifyException(f"{where}: @{link.name} joins no instance @{name}.{nearest(name, names)}")
