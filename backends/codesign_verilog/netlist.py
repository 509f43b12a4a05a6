"""Building a structural ``hw`` module: instances joined by named nets, in any order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.dialects import comb, hw
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
    UnrealizedConversionCastOp,
    i1,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Region, SSAValue, TypeAttribute


@dataclass
class Netlist:
    """A module under construction. A net may be read before the instance that drives it exists."""

    name: str
    ports: list[hw.ModulePort] = field(default_factory=list[hw.ModulePort])
    block: Block = field(default_factory=Block)
    nets: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])
    externs: dict[str, hw.HWModuleExternOp] = field(default_factory=dict[str, hw.HWModuleExternOp])
    _awaited: dict[str, UnrealizedConversionCastOp] = field(default_factory=dict[str, UnrealizedConversionCastOp])
    _outputs: list[str] = field(default_factory=list[str])

    def input(self, name: str, bits: int = 1) -> SSAValue:
        """An input port."""
        self.ports.append(_port(name, IntegerType(bits), hw.Direction.INPUT))
        value = self.block.insert_arg(IntegerType(bits), len(self.block.args))
        value.name_hint = name
        self.nets[name] = value
        return value

    def output(self, name: str, net: str) -> None:
        """An output port, driven by the net called `net`, which exists."""
        self.ports.append(_port(name, self.nets[net].type, hw.Direction.OUTPUT))
        self._outputs.append(net)

    def net(self, name: str, bits: int = 1) -> SSAValue:
        """The net called `name`, which some instance drives, before or after."""
        if name not in self.nets:
            placeholder = UnrealizedConversionCastOp.get([], [IntegerType(bits)])
            self.block.add_op(placeholder)
            self._awaited[name] = placeholder
            self.nets[name] = placeholder.results[0]
        return self.nets[name]

    def instance(
        self,
        module: str,
        name: str,
        parameters: Mapping[str, int | str],
        inputs: Mapping[str, SSAValue],
        outputs: Mapping[str, tuple[str, int]],
    ) -> None:
        """An instance `name` of the library module `module`; outputs drive the nets named, of so many bits.

        A parameter given as text is written as it is: a sized literal, too wide for an integer.
        """
        types = {port: IntegerType(bits) for port, (_, bits) in outputs.items()}
        instance = hw.InstanceOp(
            name, SymbolRefAttr(self._declare(module, inputs, types)), inputs.items(), types.items()
        )
        instance.attributes["parameters"] = DictionaryAttr(
            {
                key: IntegerAttr(value, i64) if isinstance(value, int) else StringAttr(value)
                for key, value in parameters.items()
            }
        )
        self.block.add_op(instance)
        for result, (net, _) in zip(instance.outputs, outputs.values(), strict=True):
            result.name_hint = net
            self._drive(net, result)

    def slice(self, value: SSAValue, low: int, bits: int) -> SSAValue:
        """Bits `low` and up of a net."""
        op = comb.ExtractOp(value, IntegerAttr(low, i32), IntegerType(bits))
        self.block.add_op(op)
        return op.result

    def concatenate(self, values: list[SSAValue]) -> SSAValue:
        """Nets side by side, the last one lowest."""
        op = comb.ConcatOp.from_int_values(values)
        assert op is not None
        self.block.add_op(op)
        return op.result

    def constant(self, value: int, bits: int) -> SSAValue:
        """A constant."""
        op = hw.ConstantOp(value, bits)
        self.block.add_op(op)
        return op.result

    def unused(self, name: str, value: SSAValue) -> None:
        """Say that some bits of `value` are left unread on purpose."""
        parity = comb.ParityOp.create(operands=[value], result_types=[i1])
        parity.results[0].name_hint = f"unused_{name}"
        self.block.add_op(parity)

    def module(self) -> ModuleOp:
        """The finished module, its library modules declared beside it."""
        assert not self._awaited, f"nets that nothing drives: {', '.join(self._awaited)}"
        self.block.add_op(hw.OutputOp([self.nets[net] for net in self._outputs]))
        top = hw.HWModuleOp(StringAttr(self.name), hw.ModuleType(ArrayAttr(self.ports)), Region(self.block))
        return ModuleOp([*self.externs.values(), top])

    def _drive(self, net: str, value: SSAValue) -> None:
        placeholder = self._awaited.pop(net, None)
        if placeholder is not None:
            placeholder.results[0].replace_all_uses_with(value)
            placeholder.detach()
            placeholder.erase()
        self.nets[net] = value

    def _declare(self, module: str, inputs: Mapping[str, SSAValue], outputs: Mapping[str, Attribute]) -> str:
        """The symbol of an external module with these ports: instances of other widths are other externs of one
        Verilog module."""
        ports = [_port(name, value.type, hw.Direction.INPUT) for name, value in inputs.items()]
        ports += [_port(name, type, hw.Direction.OUTPUT) for name, type in outputs.items()]
        type = hw.ModuleType(ArrayAttr(ports))
        same = [op for op in self.externs.values() if op.verilog_name == StringAttr(module)]
        for extern in same:
            if extern.module_type == type:
                return extern.sym_name.data
        symbol = module if not same else f"{module}_{len(same)}"
        extern = hw.HWModuleExternOp(StringAttr(symbol), type)
        extern.attributes["verilogName"] = StringAttr(module)
        self.externs[symbol] = extern
        return symbol


def _port(name: str, type: Attribute, direction: hw.Direction) -> hw.ModulePort:
    assert isinstance(type, TypeAttribute)
    return hw.ModulePort(StringAttr(name), type, hw.DirectionAttr(direction))
