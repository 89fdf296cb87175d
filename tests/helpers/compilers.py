"""Exported C files compiled, and called through ctypes."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wdouble-promotion",
    "-Wcast-align",
    "-Wundef",
    "-Werror",
]


def find(compiler: str) -> str:
    """The path of a compiler; skips the test where there is none."""
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"{compiler} is not installed")
    return found


def build(compiler: str, *arguments, folder: Path) -> None:
    """Run a compiler, which must have nothing to say."""
    command = [find(compiler), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def execute(*command, folder: Path, text=True, **options):
    """What a program prints, once it ended well."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=text, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Exported:
    """A model's C file as a shared library, with a state to run it on."""

    def __init__(self, model, folder: Path, *flags, compiler="gcc", name="net", **options):
        model.export_c(folder / f"{name}.c", **options)
        flags = flags or ("-O2", "-march=native", "-ffp-contract=fast")
        build(*(compiler, "-std=c99", *WARNINGS, *flags, "-fPIC", "-c", f"{name}.c"), folder=folder)
        # linked without the flags: -ffast-math would link code that makes the whole process, the
        # tests included, flush subnormal numbers
        build(compiler, "-shared", f"{name}.o", "-o", f"{name}.so", "-lm", folder=folder)
        library = ctypes.CDLL(str(folder / f"{name}.so"))
        self.reset, self.step = (getattr(library, f"{name}_{verb}") for verb in ("reset", "step"))
        spec, pointer = model.spec, ctypes.c_void_p
        self.reset.argtypes = [pointer] * (2 if spec.static_size else 1)
        self.step.argtypes = [pointer] * 3
        self.terms = len(spec.cell.gates) * spec.hidden_size if spec.static_size else 0
        self.dtype = np.dtype(spec.dtype)
        self.shapes = (
            (spec.num_layers, spec.hidden_width), (spec.num_layers, spec.hidden_size)
        )  # fmt: skip
        self.width = spec.width

    def new_state(self, static=None) -> np.ndarray:
        """A state after reset, h and c in one flat array; then what attributes (S,) add."""
        state = np.full(sum(a * b for a, b in self.shapes) + self.terms, np.nan, self.dtype)
        given = [] if static is None else [np.ascontiguousarray(static, self.dtype)]
        assert self.reset(state.ctypes.data, *(array.ctypes.data for array in given)) == 0
        return state

    def parts(self, state):
        """(h, c) of a flat state."""
        cut, end = self.shapes[0][0] * self.shapes[0][1], state.size - self.terms
        return state[:cut].reshape(self.shapes[0]), state[cut:end].reshape(self.shapes[1])

    def run(self, X, state=None, static=None):
        """Outputs (T, O) for inputs (T, I), and the state after them."""
        X = np.ascontiguousarray(X, self.dtype)
        state, Y = (
            self.new_state(static) if state is None else state,
            np.empty((len(X), self.width), X.dtype),
        )
        x, y = X.ctypes.data, Y.ctypes.data
        for t in range(len(X)):
            assert self.step(state.ctypes.data, x + t * X.strides[0], y + t * Y.strides[0]) == 0
        return Y, self.parts(state)
