"""Expressions in place of numbers, and the cell that is written from them."""

import numpy as np
import pytest

import numlstm
from helpers.compilers import Exported
from helpers.exports import inputs, model_of
from helpers.harness import require_bits
from numlstm.cell import equations
from numlstm.cell.activations import exp_of_minus_magnitude
from numlstm.cell.elementary import clip, exp_parts, exponent_limit, fma, like, where
from numlstm.cell.equations import cell_forward, variant_forward
from numlstm.export import cell, expressions
from numlstm.export.cell import CellWriter
from numlstm.export.expressions import Expression, Writer, over

x, y, zero, one = Expression("x"), Expression("y"), Expression(0.0), Expression(1.0)


def lines_of(value, **names):
    writer = Writer([value], names, str)
    last = writer.text(value, "t")
    return [*writer.lines, last]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (x - (y - x), "x - (y - x)"),
        ((x - y) - x, "x - y - x"),
        (x + y * x, "x + y * x"),
        ((x + y) * x, "(x + y) * x"),
        (x / (y * x), "x / (y * x)"),
        (-(x + y), "-(x + y)"),
        (-Expression("-{}", (x,)), "-(-x)"),
        (x * -y, "x * -y"),
        (x - Expression(-2.0), "x - -2.0"),
        (-Expression(2.0) * x, "-2.0 * x"),
        (x < y + x, "x < y + x"),
    ],
)
def test_parentheses_stand_where_c_needs_them(value, text):
    assert lines_of(value) == [text]


def test_nothing_is_done_with_zero_and_one():
    assert [x + zero, zero + x, x - zero, x * one, one * x] == [x] * 5
    assert [x * zero, zero * x, one - one] == [zero] * 3
    assert x - x != zero  # which is a NaN for an infinite x


def test_what_is_used_twice_has_a_name():
    shared = x * y
    assert lines_of(shared + shared / x) == ["const number t_1 = x * y;", "t_1 + t_1 / x"]
    assert lines_of(shared + one, product=shared) == [
        "const number product = x * y;",
        "product + 1.0",
    ]


def test_long_lines_are_cut():
    value = x
    for n in range(100):
        value = fma(value, y, Expression(n + 0.5))
    lines = lines_of(value)
    assert max(map(len, lines)) < 100
    names = {"x": 0.3, "y": 0.9}
    for line in lines[:-1]:
        name, text = line.removeprefix("const number ").removesuffix(";").split(" = ")
        names[name] = eval(text, {}, names)
    expected = 0.3
    for n in range(100):
        expected = expected * 0.9 + (n + 0.5)
    assert eval(lines[-1], {}, names) == expected


def test_primitives_are_replaced_however_deep_and_only_in_the_copy():
    replaced = {where: expressions.where, exp_parts: cell.exp_parts, clip: lambda x, limit: x}
    replaced[exponent_limit] = lambda x: None
    text = "\n".join(lines_of(over(replaced, exp_of_minus_magnitude)(x)))
    assert "choose(x < 0.0, x, -x)" in text
    assert "exp_parts(" in text
    assert exp_of_minus_magnitude(np.float64(0.0)) == 1.0


def test_the_plain_cell_is_that_of_the_variant():
    """The other statement of the plain cell, `cell_forward`, becomes the same lines."""
    spec = numlstm.LSTM(3, 7, rng=0).spec
    writer = CellWriter(spec)
    z = [Expression(f"z_{gate}") for gate in "ifgo"]
    i, f, g, o, c, h = over(writer.primitives, cell_forward)(*z, Expression("c_prev"))
    names = {"i": i, "f": f, "g": g, "o": o, "c_new": c}
    assert writer.body(names, {"a[u]": c, "c[u]": c, "gate[u]": o}) == writer.cell()
    assert lines_of(h, o=o, c_new=c)[-1] == "o * poly_tanh(c_new)"


def leaking_forward(v, z_i, z_f, z_g, z_o, c_prev, unit):
    """The cell, of which a half is lost between steps."""
    return variant_forward(v, z_i, z_f, z_g, z_o, c_prev * like(c_prev, 0.5), unit)


def test_a_new_equation_needs_no_edit_of_the_export(monkeypatch, tmp_path):
    model = model_of()
    X, plain = inputs(model, 50), Exported(model, tmp_path)
    monkeypatch.setattr(equations, "variant_forward", leaking_forward)
    monkeypatch.setattr(leaking_forward, "__module__", equations.__name__)
    Y, _ = Exported(model, tmp_path, name="leaky").run(X)
    state = plain.new_state()
    for x_t, y_t in zip(X, Y, strict=True):
        plain.parts(state)[1][:] *= 0.5
        require_bits(plain.run(x_t[None], state)[0][0], y_t)
