"""``hw`` IR printed as SystemVerilog that reads as if written by hand.

Nets take the names that the IR gives its values; slices and concatenations are written where they are used; a value
that only leaves the module is the port itself.
"""

from xdsl.dialects import comb, hw
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, IntegerType, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.traits import SymbolTable
from xdsl.utils.hints import isa

from codesign.errors import CodesignError


def print_module(module: hw.HWModuleOp, header: str) -> str:
    """The text of `module`, below `header` as a comment.

    Raises
    ------
    CodesignError
        For an operation that has no Verilog here.
    """
    return _Printer(module).text(header)


def width(value: SSAValue) -> int:
    """Bits of a value."""
    assert isa(value.type, IntegerType)
    return value.type.width.data


class _Printer:
    def __init__(self, module: hw.HWModuleOp):
        self.module = module
        self.body = module.body.block
        ports = module.module_type.ports.data
        self.inputs = [port for port in ports if port.dir.data.is_input_like()]
        self.outputs = [port for port in ports if port.dir.data.is_output_like()]
        self.names: dict[SSAValue, str] = {}
        terminator = self.body.last_op
        assert isinstance(terminator, hw.OutputOp)
        self.leaving = list(zip(terminator.operands, (port.port_name.data for port in self.outputs), strict=True))

    def text(self, header: str) -> str:
        """Header, ports, nets, then instances in order."""
        for argument, port in zip(self.body.args, self.inputs, strict=True):
            self.names[argument] = port.port_name.data
        for value, name in self.leaving:
            if len(list(value.uses)) == 1:
                self.names[value] = name
        nets = self._nets()
        lines = [f"// {line}".rstrip() for line in header.splitlines()]
        lines += ["", f"module {self.module.sym_name.data} (", *self._ports(), ");", "", *nets]
        for op in self.body.ops:
            text = self._operation(op)
            lines += ["", *text] if text else []
        outputs = [
            f"  assign {name} = {self.names[value]};" for value, name in self.leaving if self.names[value] != name
        ]
        return "\n".join([*lines, *(["", *outputs] if outputs else []), "", "endmodule", ""])

    def _nets(self) -> list[str]:
        """A declaration for each value that is not a port; an instance may read a net that a later one drives."""
        inline = (comb.ExtractOp, comb.ConcatOp, hw.ConstantOp)
        nets: list[tuple[str, str]] = []
        for op in self.body.ops:
            for value in op.results:
                if isinstance(op, inline) or value in self.names or not (value.uses or isinstance(op, comb.ParityOp)):
                    continue
                assert value.name_hint is not None, "every net of an emitted module is named"
                self.names[value] = value.name_hint
                nets.append((_type(width(value)), value.name_hint))
        column = max((len(type) for type, _ in nets), default=0)
        return [f"  {type:<{column}} {name};" for type, name in nets]

    def _ports(self) -> list[str]:
        # Inputs first, then outputs, types in one column.
        rows = [("input ", self.names[argument], width(argument)) for argument in self.body.args]
        rows += [("output", name, width(value)) for value, name in self.leaving]
        types = [_type(bits) for _, _, bits in rows]
        column = max(len(type) for type in types)
        last = len(rows) - 1
        return [
            f"  {direction} {type:<{column}} {name}{'' if index == last else ','}"
            for index, ((direction, name, _), type) in enumerate(zip(rows, types, strict=True))
        ]

    def _operation(self, op: Operation) -> list[str]:
        match op:
            case hw.InstanceOp():
                return self._instance(op)
            case comb.ExtractOp() | comb.ConcatOp() | hw.ConstantOp() | hw.OutputOp():
                return []
            case comb.ParityOp():
                return [f"  assign {self.names[op.result]} = ^{self._expression(op.input)};"]
            case _:
                raise CodesignError(f"{op.name} has no Verilog here")

    def _instance(self, op: hw.InstanceOp) -> list[str]:
        name, module = op.instance_name.data, self._verilog_name(op)
        parameters = op.attributes.get("parameters")
        if isinstance(parameters, DictionaryAttr) and parameters.data:
            lines = [f"  {module} #(", *_connections(self._parameters(parameters)), f"  ) {name} ("]
        else:
            lines = [f"  {module} {name} ("]
        ports = [(port.data, self._expression(value)) for port, value in zip(op.arg_names, op.inputs, strict=True)]
        ports += [
            (port.data, self.names.get(value, "")) for port, value in zip(op.result_names, op.outputs, strict=True)
        ]
        return [*lines, *_connections(ports), "  );"]

    def _verilog_name(self, op: hw.InstanceOp) -> str:
        extern = SymbolTable.lookup_symbol(op, op.module_name)
        assert isinstance(extern, hw.HWModuleExternOp)
        return extern.sym_name.data if extern.verilog_name is None else extern.verilog_name.data

    def _parameters(self, parameters: DictionaryAttr) -> list[tuple[str, str]]:
        pairs: list[tuple[str, str]] = []
        for name, value in parameters.data.items():
            assert isinstance(value, IntegerAttr | StringAttr)
            pairs.append((name, str(value.value.data) if isinstance(value, IntegerAttr) else value.data))
        return pairs

    def _expression(self, value: SSAValue) -> str:
        match value.owner:
            case comb.ExtractOp() as extract:
                low, bits = extract.low_bit.value.data, width(value)
                inner = self._expression(extract.input)
                if bits == width(extract.input):
                    return inner
                return f"{inner}[{low}]" if bits == 1 else f"{inner}[{low + bits - 1}:{low}]"
            case comb.ConcatOp() as concat:
                return "{" + ", ".join(self._expression(part) for part in concat.inputs) + "}"
            case hw.ConstantOp() as constant:
                number: IntegerAttr = constant.value
                return f"{width(value)}'d{number.value.data % (1 << width(value))}"
            case _:
                return self.names[value]


def _type(bits: int) -> str:
    return "logic" if bits == 1 else f"logic [{bits - 1}:0]"


def _connections(pairs: list[tuple[str, str]]) -> list[str]:
    column = max(len(name) for name, _ in pairs)
    last = len(pairs) - 1
    return [
        f"    .{name:<{column}}({value}){'' if index == last else ','}" for index, (name, value) in enumerate(pairs)
    ]
