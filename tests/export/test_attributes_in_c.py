"""Attributes of whole sequences in exported files: one file, a state for every sequence."""

import numpy as np
import pytest

import numlstm
from helpers.compilers import Exported, build, execute
from helpers.exports import BARS, EVERYTHING, inputs, model_of, require_near
from helpers.harness import require_bits
from numlstm.data.scaling import Scaling

SIZE = 4
VARIANTS = {
    "plain": {},
    "layers": {"num_layers": 2, "learned_state": True},
    "no forget gate": {"cell": {"forget_gate": "none", "cell_clip": 3.0}},
    "layer_norm": {"cell": {"layer_norm": True}},
    # weights that do not amplify the rounding of a step, with or without attributes
    "everything": {**EVERYTHING, "gain": 0.7, "seed": 2},
}


def a_model(dtype="float64", **variant):
    return model_of(dtype, static_size=SIZE, **variant)


def attributes(model, rows):
    given = np.random.default_rng(5).standard_normal((rows, SIZE))
    return given.astype(model.spec.dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_file_serves_many_sequences(variant, dtype, tmp_path):
    model = a_model(dtype, **VARIANTS[variant])
    exported, static = Exported(model, tmp_path), attributes(model, 3)
    X = inputs(model, 2000)
    expected, final = model.forward(np.stack([X] * 3), static=static)
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    for n, row in enumerate(static):
        Y, (h, c) = exported.run(X, static=row)
        require_near(Y, expected[n], BARS[dtype])
        require_near(h, final.h[:, n], BARS[dtype])
        require_near(c, final.c[:, n], BARS[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_speaks_the_units_of_the_data(dtype, tmp_path):
    model = a_model(dtype)
    X_units, Y_units = (np.array([1.0, 2.0, 1e3]), np.array([0.1, 5.0, 1e2])), (None, None)
    of_static = np.array([1e4, -3.0, 0.5, 7.0]), np.array([1e3, 0.1, 2.0, 1.0])
    of_attributes = dict(zip(("static_mean", "static_scale"), of_static, strict=True))
    model.scaling = Scaling(*X_units, *Y_units, **of_attributes)
    X = X_units[0] + inputs(model, 300) * X_units[1]
    static = of_static[0] + attributes(model, 1)[0] * of_static[1]
    X, static = X.astype(dtype), static.astype(dtype)
    Y, _ = Exported(model, tmp_path).run(X, static=static)
    require_near(Y, model.predict(X, static=static), BARS[dtype])
    plain = Exported(model, tmp_path, name="plain", standardize=False)
    inside = attributes(model, 1)
    Z, _ = plain.run(inputs(model, 300), static=inside[0])
    require_near(Z, model.forward(inputs(model, 300)[None], static=inside)[0][0], BARS[dtype])


@pytest.mark.parametrize("flags", ["-O0", "-O3 -march=native"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_have_nothing_to_say(compiler, flags, tmp_path):
    model = a_model("float32", **EVERYTHING)
    exported = Exported(model, tmp_path, *flags.split(), compiler=compiler)
    static = attributes(model, 1)
    Y, _ = exported.run(inputs(model, 100), static=static[0])
    require_near(Y, model.forward(inputs(model, 100)[None], static=static)[0][0], BARS["float32"])


NULL, MISALIGNED, OVERLAP, INPUT, STATE, OVERFLOW = range(1, 7)


def test_nothing_is_changed_unless_the_status_says_ok(tmp_path):
    model = a_model("float32", num_layers=2)
    model.params["weight_is_l0"][...] *= 100
    exported, good = Exported(model, tmp_path), attributes(model, 1)[0]
    state = exported.new_state(good)
    bad, huge = good.copy(), np.full(SIZE, 3e38, np.float32)
    bad[-1] = np.nan
    s, a = state.ctypes.data, good.ctypes.data
    for arguments, status in [
        ((None, a), NULL), ((s, None), NULL), ((s + 1, a), MISALIGNED), ((s, a + 2), MISALIGNED),
        ((s, s), OVERLAP), ((s, s + state.nbytes - 4), OVERLAP),
        ((s, bad.ctypes.data), INPUT), ((s, huge.ctypes.data), OVERFLOW),
    ]:  # fmt: skip
        kept = state.copy()
        assert exported.reset(*arguments) == status, arguments
        require_bits(state, kept)
    state[-1] = np.inf  # of the terms
    x, y = inputs(model, 1), np.zeros(2, np.float32)
    assert exported.step(s, x.ctypes.data, y.ctypes.data) == STATE


def test_sanitizers_find_nothing(tmp_path):
    model = a_model(**EVERYTHING)
    model.export_c(tmp_path / "net.c")
    (tmp_path / "drive.c").write_text(
        '#include "net.h"\n#include <stdio.h>\n'
        "int main(void) { net_state state; double x[NET_INPUTS], y[NET_OUTPUTS];\n"
        "  const double attributes[NET_ATTRIBUTES] = {1, 2, 3, 4};\n"
        "  if (net_reset(&state, attributes) != NET_OK) return 1;\n"
        "  while (fread(x, sizeof x, 1, stdin) == 1) {\n"
        "    if (net_step(&state, x, y) != NET_OK) return 2;\n"
        "    if (fwrite(y, sizeof y, 1, stdout) != 1) return 3; }\n"
        "  return 0; }\n"
    )
    build(
        *("gcc", "-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I."),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *("net.c", "drive.c", "-o", "drive", "-lm"),
        folder=tmp_path,
    )
    X = inputs(model, 300)
    output = execute("./drive", folder=tmp_path, text=False, input=X.tobytes())
    Y = np.frombuffer(output).reshape(len(X), -1)
    static = np.array([[1.0, 2, 3, 4]])
    require_near(Y, model.forward(X[None], static=static)[0][0], BARS["float64"])


PROGRAM = """\
program drive
   use net
   implicit none
   type(net_state) :: state
   real(net_kind) :: x(net_inputs), y(net_outputs), attributes(net_attributes)
   integer :: status
   read (*, *) attributes
   if (net_reset(state, attributes) /= net_ok) error stop "reset"
   do
      read (*, *, iostat=status) x
      if (status /= 0) exit
      if (net_step(state, x, y) /= net_ok) error stop "step"
      write (*, '(*(es26.16e3))') y
   end do
   attributes = attributes / (attributes - attributes)
   if (net_reset(state, attributes) /= net_input_not_finite) error stop "not finite"
end program
"""


@pytest.mark.parametrize("name", ["net", "n" * 40])
def test_a_fortran_program_computes_the_same(name, tmp_path):
    model = a_model(**EVERYTHING)
    model.export_fortran(tmp_path / f"{name}.f90")
    program = PROGRAM.replace("net", name).replace("/=", "&\n /=").replace("x(", "&\n x(")
    program = program.replace(" attributes(", "&\n attributes(")
    (tmp_path / "drive.f90").write_text(program)
    build("gcc", "-c", "-O2", "-ffp-contract=fast", f"{name}.c", folder=tmp_path)
    warnings = ("-Wall", "-Wextra", "-pedantic", "-Werror", "-std=f2008", "-fcheck=all")
    sources = (f"{name}.f90", "drive.f90", f"{name}.o", "-lm", "-o", "drive")
    build("gfortran", *warnings, "-fno-range-check", *sources, folder=tmp_path)
    X, static = inputs(model, 500), attributes(model, 1)
    lines = "\n".join(" ".join(map(str, row)) for row in (static[0], *X))
    Y = np.array(execute("./drive", folder=tmp_path, input=lines).split(), float)
    expected = model.forward(X[None], static=static)[0][0]
    require_near(Y.reshape(expected.shape), expected, BARS["float64"])


def test_a_model_without_attributes_has_none_in_its_files(tmp_path):
    model = numlstm.LSTM(3, 8, 2, rng=0)
    model.export_fortran(tmp_path / "net.f90")
    for suffix in (".c", ".h", ".f90"):
        text = (tmp_path / f"net{suffix}").read_text()
        assert "attributes" not in text.lower()
        assert "terms" not in text
