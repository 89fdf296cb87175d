"""The cell of a network in C, from the functions in `numlstm.cell` that every kernel calls."""

from collections.abc import Callable
from functools import partial

import numpy as np

from numlstm.architecture.spec import NetworkSpec
from numlstm.backends import numpy_arrays
from numlstm.cell import activations, elementary, encoding, equations
from numlstm.export.expressions import Expression, Writer, call, member, over, where
from numlstm.network.dropout import mean_noise

# which become functions in C, too; every other one becomes part of what calls it
FUNCTIONS = (
    *(elementary.exp, elementary.expm1, elementary.log1p),
    *(elementary.sigmoid, elementary.tanh),
)
SERIES = {"float32": elementary.series32, "float64": elementary.series64}
INDENT = "\n" + 8 * " "


def literal(value: np.floating) -> str:
    """The shortest literal that is read back as this very number."""
    return f"{value!s}f" if value.dtype == np.float32 else str(value)


class CellWriter:
    """Writes the equations of one network's cell, in loops over the unit `u`."""

    def __init__(self, spec: NetworkSpec):
        """The network, whose layers are all of one variant."""
        self.layer, self.gates = spec.layers[0], spec.cell.gates
        self.number = np.dtype(spec.dtype).type
        self.variant = variant_of(self.layer)
        self.mean = mean_noise(spec, numpy_arrays, 1).layers[0]
        self.definitions: dict[str, str] = {}  # of the C functions that the equations call
        self.primitives = self._primitives()

    def fields(self) -> dict[str, str | int]:
        """By their names in the template."""
        loops = {"cell": self.cell(), "output": self.output(), "new_hidden": self.hidden()}
        series = self.function("expm1_series", SERIES[self.layer.dtype], "r")
        functions = "\n".join(self.definitions.values())
        text = functions + "".join(loops.values())
        return loops | {
            "series": series,
            "functions": functions,
            "uses_choice": int("choose(" in text or "limited(" in text),
            "uses_exp": int("exp_parts(" in text),
        }

    # --- the equations ----------------------------------------------------------------------------

    def cell(self) -> str:
        """From the pre-activations to the new cell, which goes on to the output, and its gate."""
        gates = {gate: f"z[{place} * UNITS + u]" for place, gate in enumerate(self.gates)}
        loads = {f"z_{gate}": text for gate, text in gates.items()}
        loads |= {
            f"p_{gate}": f"w->peephole[{place} * UNITS + u]"
            for place, gate in enumerate(self.layer.cell.peepholes)
        }
        loads["c_prev"] = "c[u]"
        z = [Expression(f"z_{gate}") if gate in gates else Expression(0.0) for gate in "ifgo"]
        forward = over(self.primitives, equations.variant_forward)
        i, f, g, o, c_new, c = forward(self.variant, *z, Expression("c_prev"), self.unit())
        names = {"i": i, "f": f, "g": g, "o": o, "c_new": c_new}
        stores = {"gate[u]": o, "a[u]": c_new, "c[u]": c}
        return self.body(loads, names, stores)

    def output(self) -> str:
        """From the new cell, perhaps normalised, to the hidden state before its projection."""
        loads = {"n": "a[u]", "o": "gate[u]"}
        activate = over(self.primitives, activations.activate_limited)
        a = activate(self.variant.of_output, Expression("n"))
        return self.body(loads, {"a_new": a}, {"a[u]": Expression("o") * a})

    def hidden(self) -> str:
        """The hidden state."""
        mixed = over(self.primitives, equations.mixed)
        new = mixed(self.keep("keep_h"), Expression("h_new[u]"), Expression("h[u]"))
        return self.body({}, {}, {"h[u]": new})

    def body(
        self, loads: dict[str, str], names: dict[str, Expression], stores: dict[str, Expression]
    ) -> str:
        """The body of a loop over units."""
        writer = Writer(list(stores.values()), names, self.literal)
        last = [f"{place} = {writer.text(value, 'x')};" for place, value in stores.items()]
        first = [f"const number {name} = {text};" for name, text in loads.items()]
        return INDENT.join(first + writer.lines + last)

    def function(self, name: str, function: Callable, argument: str) -> str:
        """The definition of a C function of one number."""
        primitives = {key: value for key, value in self.primitives.items() if key != function}
        result = over(primitives, function)(Expression(argument))
        writer = Writer([result], {}, self.literal)
        last = writer.text(result, argument)
        body = "\n    ".join([*writer.lines, f"return {last};"])
        return f"static inline number {name}(number {argument})\n{{\n    {body}\n}}\n"

    # --- what they stand on -----------------------------------------------------------------------

    def _primitives(self) -> dict[Callable, Callable]:
        """What takes the place of functions of numbers."""
        unlimited = encoding.UNLIMITED[self.layer.dtype]
        number = self.number(0)
        return {
            elementary.where: where,
            elementary.clip: lambda x, limit: limited(x, limit) if limit < unlimited else x,
            elementary.exponent_limit: lambda x: elementary.exponent_limit(number),
            elementary.exp_parts: exp_parts,
            **{function: partial(self.call, function) for function in FUNCTIONS},
        }

    def call(self, function: Callable, operand: Expression) -> Expression:
        """A call of a function in C, which is defined where it is called first."""
        name = f"poly_{function.__name__}"
        if name not in self.definitions:
            self.definitions[name] = self.function(name, function, "x")
        return call(name, operand)

    def unit(self) -> equations.Unit:
        """What a unit has beside its gates: names of peepholes, means of the noise."""
        peepholes = {f"p_{gate}": Expression(0.0) for gate in "ifo"}
        peepholes |= {f"p_{gate}": Expression(f"p_{gate}") for gate in self.layer.cell.peepholes}
        return equations.Unit(**peepholes, m_g=Expression(1.0), keep_c=self.keep("keep_c"))

    def keep(self, name: str) -> Expression:
        """The mean of zoneout: the share that is kept of the new value."""
        share = getattr(self.mean, name, None)
        return Expression(1.0 if share is None else float(share.flat[0]))

    def literal(self, value: float) -> str:
        """A constant in C."""
        return literal(self.number(value))


def variant_of(layer):
    """The variant."""
    family = encoding.family_of(layer)
    limited = [activations.Limited(f, family.clip, 0.0, 0.0) for f in family.activations]
    return equations.Variant(family.forget, family.cell_clip, *limited)


def limited(x: Expression, limit: float) -> Expression:
    """`clip` as the C file has it: one comparison, where `clip` has two."""
    return call("limited", x, Expression(limit))


def exp_parts(x: Expression) -> tuple[Expression, Expression]:
    """exp(x) as the C file has it: a struct."""
    parts = call("exp_parts", x, kind="parts")
    return member("s", parts), member("p", parts)
