"""Exported Fortran modules: what gfortran says of them, and what they compute."""

import numpy as np
import pytest

import numlstm
from helpers.compilers import build, execute
from helpers.exports import BARS, EVERYTHING, inputs, model_of, require_near

WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-std=f2008", "-fcheck=all"]

PROGRAM = """\
program drive
   use net
   implicit none
   type(net_state) :: state
   real(net_kind) :: x(net_inputs), y(net_outputs)
   integer :: status
   if (net_reset(state) /= net_ok) error stop "reset"
   do
      read (*, *, iostat=status) x
      if (status /= 0) exit
      if (net_step(state, x, y) /= net_ok) error stop "step"
      write (*, '(*(es26.16e3))') y
   end do
   x = x / (x - x)
   if (net_step(state, x, y) /= net_input_not_finite) error stop "not finite"
   state%c = huge(state%c) * 2
   x = 0
   if (net_step(state, x, y) /= net_state_not_finite) error stop "state"
end program
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", [{}, {"output_size": None, "num_layers": 2}, EVERYTHING])
def test_a_fortran_program_computes_the_same(variant, dtype, tmp_path):
    model = model_of(dtype, **variant)
    model.export_fortran(tmp_path / "net.f90")
    (tmp_path / "drive.f90").write_text(PROGRAM)
    build("gcc", "-c", "-O2", "-ffp-contract=fast", "net.c", folder=tmp_path)
    sources = ("net.f90", "drive.f90", "net.o", "-lm", "-o", "drive")
    build("gfortran", *WARNINGS, "-fno-range-check", *sources, folder=tmp_path)
    X = inputs(model, 10_000)
    lines = "\n".join(" ".join(map(str, x)) for x in X)
    Y = np.array(execute("./drive", folder=tmp_path, input=lines).split(), float)
    expected = model.forward(X[None])[0][0]
    require_near(Y.reshape(expected.shape), expected, BARS[dtype])


@pytest.mark.parametrize("name", ["n" * 40, "a_" * 20, "Z9" + "x" * 38, "n" * 39])
def test_a_module_of_the_longest_name_compiles(name, tmp_path):
    """No line is longer than gfortran takes."""
    model = model_of(num_layers=2)
    model.export_fortran(tmp_path / f"{name}.f90")
    program = PROGRAM.replace("net", name).replace("/=", "&\n /=").replace("x(", "&\n x(")
    (tmp_path / "drive.f90").write_text(program)
    build("gcc", "-c", "-O1", f"{name}.c", folder=tmp_path)
    sources = (f"{name}.f90", "drive.f90", f"{name}.o", "-lm", "-o", "drive")
    build("gfortran", *WARNINGS, "-fno-range-check", *sources, folder=tmp_path)
    X = inputs(model, 20)
    lines = "\n".join(" ".join(map(str, x)) for x in X)
    Y = np.array(execute("./drive", folder=tmp_path, input=lines).split(), float)
    expected = model.forward(X[None])[0][0]
    require_near(Y.reshape(expected.shape), expected, BARS["float64"])


@pytest.mark.parametrize("name", ["iso_c_binding", "IEEE_arithmetic", "omp_lib", "c_int"])
def test_a_module_of_fortran_is_not_replaced(name, tmp_path):
    words = rf"{name} is a module of Fortran itself, or a name from one: .*{name}_net\.f90"
    with pytest.raises(ValueError, match=words):
        model_of().export_fortran(tmp_path / f"{name}.f90")
    assert not list(tmp_path.iterdir())


def test_it_stands_on_the_c_file_of_export_c(tmp_path):
    model = model_of()
    model.export_fortran(tmp_path / "net.f90")
    texts = [(tmp_path / name).read_bytes() for name in ("net.c", "net.h")]
    model.export_c(tmp_path / "net.c")
    assert texts == [(tmp_path / name).read_bytes() for name in ("net.c", "net.h")]
    assert (tmp_path / "net.f90").read_bytes().isascii()


def test_refusals_are_those_of_export_c(tmp_path):
    with pytest.raises(ValueError, match=r"must be called NAME\.f90"):
        model_of().export_fortran(tmp_path / "net.f")
    with pytest.raises(ValueError, match="bidirectional network has no step"):
        numlstm.LSTM(1, 2, bidirectional=True).export_fortran(tmp_path / "net.f90")
    assert not list(tmp_path.iterdir())
