"""The cell of a network in C, from the functions in `numlstm.cell` that every kernel calls."""

from functools import partial

import numpy as np

from numlstm.architecture.cell import GATES
from numlstm.architecture.spec import NetworkSpec
from numlstm.backends import numpy_arrays
from numlstm.cell import activations, elementary, encoding, equations
from numlstm.export.expressions import Expression, Function, Writer, call, member, over, where
from numlstm.network.dropout import mean_noise

# which become functions in C, too; every other one becomes part of what calls it
FUNCTIONS = (
    *(elementary.exp, elementary.expm1, elementary.log1p),
    *(elementary.sigmoid, elementary.tanh),
)
SERIES = {"float32": elementary.series32, "float64": elementary.series64}
PARTS = {row: part for part, row in encoding.ROWS.items()}  # of what every unit has
INDENT = "\n" + 8 * " "


def literal(value: np.floating) -> str:
    """The shortest literal that is read back as this very number."""
    if not np.isfinite(value):
        raise ValueError(
            f"a constant of the network is {value} in {value.dtype}, which C cannot write: scale "
            "the data or the network, or use dtype='float64'"
        )
    return f"{value!s}f" if value.dtype == np.float32 else str(value)


class CellWriter:
    """Writes the equations of one network's cell, in loops over the unit `u`."""

    def __init__(self, spec: NetworkSpec):
        """The network, whose layers are all of one variant."""
        self.layer, self.gates = spec.layers[0], spec.cell.gates
        self.number = np.dtype(spec.dtype).type
        self.variant = encoding.encode(self.layer)
        self.mean = mean_noise(spec, numpy_arrays, 1).layers[0]
        self.definitions: dict[str, str] = {}  # of the C functions that the equations call
        self.calls: set[str] = set()  # the names of all C functions that are called
        self.primitives = self._primitives()

    def fields(self) -> dict[str, str | int]:
        """By their names in the template."""
        loops = {"cell": self.cell(), "output": self.output(), "new_hidden": self.hidden()}
        series = self.function("expm1_series", SERIES[self.layer.dtype], "r")
        return {
            **loops,
            "series": series,
            "functions": "\n".join(self.definitions.values()),
            "uses_choice": int(not self.calls.isdisjoint({"choose", "limited"})),
            "uses_exp": int("exp_parts" in self.calls),
        }

    # --- the equations ----------------------------------------------------------------------------

    def cell(self) -> str:
        """From the pre-activations to the new cell and the output gate."""
        unit = equations.unit_of(self.variant, self.parameter, 0, Expression(1.0), self.keep("c"))
        z = [Expression(f"z_{gate}" if gate in self.gates else 0.0) for gate in GATES]
        forward = over(self.primitives, equations.variant_forward)
        i, f, g, o, c_new, c = forward(self.variant, *z, Expression("c_prev"), unit)
        names = {"i": i, "f": f, "g": g, "o": o, "c_new": c_new}
        stores = {"a[u]": c_new, "c[u]": c}
        if not equations.sees_cell_early(self.variant):
            stores["gate[u]"] = o
        return self.body(names, stores)

    def output(self) -> str:
        """From the new cell, perhaps normalised, to the hidden state before its projection."""
        of_gates, _, of_output = self.variant.activations
        activate = over(self.primitives, activations.activate_limited)
        a, o = activate(of_output, Expression("n")), Expression("o")
        if equations.sees_cell_early(self.variant):
            o = activate(of_gates, Expression("gate[u]"))  # z_o, normalised
        return self.body({"a_new": a, "o": o}, {"a[u]": o * a})

    def hidden(self) -> str:
        """The hidden state."""
        mixed = over(self.primitives, equations.mixed)
        limit = over(self.primitives, equations.projection_forward)
        new = mixed(self.keep("h"), limit(self.variant, Expression("h_new[u]")), Expression("h[u]"))
        return self.body({}, {"h[u]": new})

    def body(self, names: dict[str, Expression], stores: dict[str, Expression]) -> str:
        """The body of a loop over units: what to store where, and names for parts of it."""
        results = list(stores.values())
        writer = Writer(results, names, self.literal)
        last = [f"{place} = {writer.text(value, 'x')};" for place, value in stores.items()]
        first = [
            f"const number {name} = {text};"
            for name, text in self.loads().items()
            if Expression(name) in writer.uses
        ]
        self.calls |= writer.calls
        return INDENT.join(first + writer.lines + last)

    def loads(self) -> dict[str, str]:
        """Name and place of everything that the equations start from."""
        loads = {f"z_{gate}": f"z[{n} * UNITS + u]" for n, gate in enumerate(self.gates)}
        loads |= {"c_prev": "c[u]", "n": "a[u]", "o": "gate[u]"}
        for name, where_in_it, row in encoding.unit_rows(self.layer):
            n = where_in_it.start // self.layer.hidden_size
            loads[PARTS[row]] = f"w->{name}[{n} * UNITS + u]"
        return loads

    def function(self, name: str, function: Function, argument: str) -> str:
        """The definition of a C function of one number."""
        primitives = {key: value for key, value in self.primitives.items() if key != function}
        result = over(primitives, function)(Expression(argument))
        writer = Writer([result], {}, self.literal)
        last = writer.text(result, argument)
        self.calls |= writer.calls
        body = "\n    ".join([*writer.lines, f"return {last};"])
        return f"static inline number {name}(number {argument})\n{{\n    {body}\n}}\n"

    # --- what they stand on -----------------------------------------------------------------------

    def _primitives(self) -> dict[Function, Function]:
        """Functions of expressions by the functions of numbers that they replace."""
        largest = encoding.LARGEST[self.layer.dtype]
        exponent_limit: Function = elementary.exponent_limit
        return {
            elementary.where: where,
            elementary.clip: lambda x, limit: limited(x, limit) if limit < largest else x,
            elementary.exponent_limit: lambda x: exponent_limit(self.number(0)),
            elementary.exp_parts: exp_parts,
            **{function: partial(self.call, function) for function in FUNCTIONS},
        }

    def call(self, function: Function, operand: Expression) -> Expression:
        """A call of a function in C, which is defined where it is called first."""
        name = f"poly_{function.__name__}"
        if name not in self.definitions:
            self.definitions[name] = self.function(name, function, "x")
        return call(name, operand)

    def parameter(self, place: int, there: int, row: int) -> Expression:
        """A parameter of the unit, by its row; 0 where the cell has none."""
        own = {row for _, _, row in encoding.unit_rows(self.layer)}
        return Expression(PARTS[row] if row in own else 0.0)

    def keep(self, state: str) -> Expression:
        """The mean of zoneout: the share that is kept of the new value of h or c."""
        share = getattr(self.mean, f"keep_{state}", None)
        return Expression(1.0 if share is None else float(share.flat[0]))

    def literal(self, value: float) -> str:
        """A constant in C."""
        return literal(self.number(value))


def limited(x: Expression, limit: float) -> Expression:
    """`clip` as the C file has it: one comparison, where `clip` has two."""
    return call("limited", x, Expression(limit))


def exp_parts(x: Expression) -> tuple[Expression, Expression]:
    """exp(x) as the C file has it: a struct."""
    parts = call("exp_parts", x, kind="parts")
    return member("s", parts), member("p", parts)
