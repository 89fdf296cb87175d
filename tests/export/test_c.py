"""Exported C files: what they compute, what compilers say of them, what they do with nonsense."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numba
import numpy as np
import pytest

import numlstm
from helpers.compilers import WARNINGS, Exported, build, execute, find
from helpers.exports import BARS, EVERYTHING, inputs, model_of, require_near
from helpers.harness import require_bits
from helpers.house import HELPERS
from helpers.processes import environment
from helpers.variants import first_examples
from numlstm.architecture.cell import ACTIVATIONS
from numlstm.architecture.spec import NetworkSpec
from numlstm.data.scaling import Scaling

STEPS = 10_000


@numba.njit
def simulate(stepper, X, h, c, Y):
    for t in range(len(X)):
        stepper.step(X[t], h, c, Y[t])


VARIANTS = {
    "plain": {},
    "no head": {"output_size": None},
    "layers": {"num_layers": 2},
    "direct input": {"direct_input": True},
    "residual": {"num_layers": 2, "residual": True},
    "learned state": {"learned_state": True},
    "projection": {"proj_size": 3},
    "projection, layers, no head": {"proj_size": 3, "num_layers": 2, "output_size": None},
    **first_examples(),
    "clipped square projection": {
        "proj_size": 7, "num_layers": 2, "cell": {"proj_clip": 0.2}, "dropout": {"zoneout_h": 0.2}},
    "forget_gate=none": {"cell": {"forget_gate": "none", "cell_clip": 3.0}},  # or it grows
    "coupled, peephole": {"cell": {"forget_gate": "coupled", "peephole": True}},
    "no forget gate, peephole": {
        "cell": {"forget_gate": "none", "peephole": True, "cell_clip": 3.0}},
    "layer_norm, peephole, coupled": {
        "cell": {"layer_norm": True, "peephole": True, "forget_gate": "coupled"}},
    "layer_norm=gates, peephole, no forget gate": {
        "cell": {"layer_norm": "gates", "peephole": True, "forget_gate": "none", "cell_clip": 3.0}},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.1}},
    "everything": EVERYTHING,
    # gates without bound: small weights, so that the network does not amplify rounding errors
    **{name: {"cell": {"activations": [(name, 0.4, 0.6)[: 1 + len(constants)]] * 3,
                       "cell_clip": 1.0},
              "gain": 0.5} for name, constants in ACTIVATIONS.items()},
}  # fmt: skip


def require_agreement(model, exported, steps=STEPS):
    """The C file against `forward`, which is `step` step by step, bit for bit."""
    X, bar = inputs(model, steps), BARS[model.spec.dtype]
    expected, state = model.forward(X[None])
    Y, (h, c) = exported.run(X)
    require_near(Y, expected[0], bar)
    require_near(h, state.h[:, 0], bar)
    require_near(c, state.c[:, 0], bar)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_family_agrees_with_step(variant, dtype, tmp_path):
    model = model_of(dtype, **VARIANTS[variant])
    require_agreement(model, Exported(model, tmp_path))


def test_every_field_of_a_network_is_exported():
    """A new one, outside the cell, must reach `lstm.c.in`, and be added to VARIANTS above."""
    assert [field.name for field in fields(NetworkSpec)] == [
        *("input_size", "hidden_size", "output_size", "num_layers", "dtype", "bidirectional"),
        *("residual", "proj_size", "cell", "learned_state", "dropout"),
        "precision",  # of a GPU; in C numbers are what they are
        "static_size",  # see `test_attributes_in_c.py`
        "direct_input",
    ]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 8), (5, 16), (2, 33), (17, 64)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sizes_that_fill_vectors_and_those_that_do_not(sizes, dtype, tmp_path):
    model = model_of(dtype, sizes=sizes, num_layers=2)
    require_agreement(model, Exported(model, tmp_path, "-O3", "-march=native"), steps=500)


@pytest.mark.parametrize(
    "variant", [{"sizes": (2, 1)}, {"sizes": (2, 65), "proj_size": 1}], ids=str
)
def test_layers_that_read_fewer_than_four_numbers_make_no_compiler_warn(variant, tmp_path):
    """Of a loop over four at a time, which never runs, but whose layers know how much they read."""
    model = model_of(num_layers=2, residual=True, output_size=None, **variant)
    require_agreement(model, Exported(model, tmp_path), steps=100)


@pytest.mark.parametrize("flags", ["-O0", "-O3", "-O3 -march=native -ffp-contract=off"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_compiler_and_option_gives_the_same_network(compiler, flags, tmp_path):
    for dtype in BARS:
        model = model_of(dtype, **EVERYTHING)
        exported = Exported(model, tmp_path, *flags.split(), compiler=compiler, name=f"n{dtype}")
        require_agreement(model, exported, steps=1000)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_fast_math_costs_digits_and_no_more(compiler, tmp_path):
    """Reassociation spoils the reduction of exp's argument, not its result; a NaN is still seen."""
    for dtype in BARS:
        model = model_of(dtype)
        flags = ("-O3", "-march=native", "-ffast-math")
        exported = Exported(model, tmp_path, *flags, compiler=compiler, name=f"n{dtype}")
        X = inputs(model, 500)
        require_near(exported.run(X)[0], model.forward(X[None])[0][0], 1e-5)
        state, y = exported.new_state(), np.zeros(2, dtype)
        X[0, 1] = np.nan
        assert exported.step(state.ctypes.data, X.ctypes.data, y.ctypes.data) == 4


@pytest.mark.parametrize("outputs", [2, 4, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_speaks_the_units_of_the_data(outputs, dtype, tmp_path):
    """As `predict`: twice as many outputs as targets end in log-variances."""
    model = model_of(dtype, output_size=outputs)
    y_size = {2: 2, 4: 2}.get(outputs)
    y_part = (np.full(y_size, -3.0), np.array([0.1, 20.0])) if y_size else (None, None)
    model.scaling = Scaling(np.array([1.0, 2.0, 1e3]), np.array([0.1, 5.0, 1e2]), *y_part)
    X = model.scaling.x_mean + inputs(model, 300) * model.scaling.x_scale
    Y, _ = Exported(model, tmp_path).run(X)
    require_near(Y, model.predict(X), BARS[dtype])
    plain = Exported(model, tmp_path, name="plain", standardize=False)
    require_near(plain.run(X)[0], model.forward(X[None])[0][0], BARS[dtype])


@pytest.mark.parametrize(
    ("mean", "scale"), [(1e6 + 0.03, 0.5), (-273.15, 1e-4), (2.0**24 + 0.5, 3.0)]
)
def test_float32_inputs_are_scaled_in_double(mean, scale, tmp_path):
    """Neither the mean nor the difference is rounded to float before it is divided."""
    model = model_of("float32")
    model.scaling = Scaling(np.full(3, mean), np.full(3, scale))
    X = (mean + scale * inputs(model, 300).astype(float)).astype("float32")
    wide = model.astype("float64")
    expected = wide.predict(X.astype(float))
    require_near(Exported(model, tmp_path).run(X)[0], expected, 1e-6)
    require_near(model.predict(X), expected, 1e-6)
    stepper, Y = model.njit(), np.empty((300, 2), "float32")
    simulate(stepper, X, *stepper.initial_state(), Y)
    require_near(Y, expected, 1e-6)


# --- bad arguments --------------------------------------------------------------------------------

OK, NULL, MISALIGNED, OVERLAP, INPUT, STATE, OVERFLOW = range(7)


def test_nothing_is_changed_unless_the_status_says_ok(tmp_path):
    model = model_of("float32", num_layers=2)
    exported = Exported(model, tmp_path)
    state = exported.run(inputs(model, 5))[1]
    state = np.concatenate([part.ravel() for part in state])
    x, y = np.ones(3, np.float32), np.full(2, 7, np.float32)
    big, nan = np.full(3, 3e38, np.float32), np.array([1, np.nan, 0], np.float32)
    broken = state.copy()
    broken[-1] = np.inf
    s, a, b = state.ctypes.data, x.ctypes.data, y.ctypes.data
    for arguments, status in [
        ((None, a, b), NULL), ((s, None, b), NULL), ((s, a, None), NULL),
        ((s + 1, a, b), MISALIGNED), ((s, a + 2, b), MISALIGNED), ((s, a, b + 3), MISALIGNED),
        ((s, a, s), OVERLAP), ((s, a, s + state.nbytes - 4), OVERLAP), ((s, a, s - 4), OVERLAP),
        ((s, nan.ctypes.data, b), INPUT), ((broken.ctypes.data, a, b), STATE),
    ]:  # fmt: skip
        kept = state.copy()
        assert exported.step(*arguments) == status
        require_bits(state, kept)
        assert (y == 7).all()
    assert exported.reset(None) == NULL
    assert exported.reset(s + 1) == MISALIGNED
    assert exported.step(s, s, b) == OK  # x may lie anywhere, even in the state
    assert exported.step(s, big.ctypes.data, b) in (OK, OVERFLOW)


def test_a_result_too_large_is_refused(tmp_path):
    relu = [("affine", 1.0, 0.0)] * 3
    model = model_of("float32", cell={"activations": relu}, gain=20.0)
    exported = Exported(model, tmp_path)
    state, y = exported.new_state(), np.full(2, 7, np.float32)
    x, statuses = np.ones(3, np.float32), []
    for _ in range(200):
        kept = state.copy(), y.copy()
        statuses.append(exported.step(state.ctypes.data, x.ctypes.data, y.ctypes.data))
        if statuses[-1]:
            break
        assert np.isfinite(state).all()
        assert np.isfinite(y).all()
    assert statuses[-1] == OVERFLOW
    require_bits(state, kept[0])
    require_bits(y, kept[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_hundred_thousand_bad_calls(dtype, tmp_path):
    """In a process of its own, which must live to say how many of each status there were."""
    relu = ["sigmoid", "tanh", "relu"]  # which passes on what is huge
    model = model_of(dtype, num_layers=2, proj_size=3, cell={"activations": relu}, gain=5.0)
    model.save(tmp_path / "model.npz")
    command = (sys.executable, "-m", "helpers.fuzz_c", "model.npz")
    counts = execute(*command, folder=tmp_path, env=environment())
    counts = dict(zip(range(7), map(int, counts.split()), strict=True))
    assert sum(counts.values()) == 100_000
    assert min(counts.values()) > 100, counts


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers_find_nothing(compiler, tmp_path):
    for dtype, number in (("float64", "double"), ("float32", "float")):
        model = model_of(dtype, **EVERYTHING)
        model.export_c(tmp_path / "net.c")
        build(
            *(compiler, "-std=c99", "-O1", "-g", *WARNINGS, f"-DNUMBER={number}", "-I."),
            *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *("net.c", HELPERS / "drive_net.c", "-o", "drive", "-lm"),
            folder=tmp_path,
        )
        X = inputs(model, 1000)
        output = execute("./drive", folder=tmp_path, text=False, input=X.tobytes())
        Y = np.frombuffer(output, dtype).reshape(len(X), -1)
        require_near(Y, model.forward(X[None])[0][0], BARS[dtype])


# --- what is in the file --------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["plain", "everything"])
def test_it_needs_no_allocator_and_keeps_nothing(variant, tmp_path):
    """By its symbols: no function but of memory blocks and libm, no variable that can change."""
    model_of("float32", **VARIANTS[variant]).export_c(tmp_path / "net.c")
    build("gcc", "-c", "-O2", "-fno-pie", "net.c", folder=tmp_path)
    lines = execute(find("nm"), "-f", "posix", "net.o", folder=tmp_path).splitlines()
    symbols = [line.split()[:2] for line in lines]
    needed = {name for name, kind in symbols if kind == "U"}
    assert needed <= {"memcpy", "memset", "sqrt", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert not {name for name, kind in symbols if kind in "bBdDcC"}
    assert {name for name, kind in symbols if kind == "T"} == {"net_reset", "net_step"}


def test_threads_do_not_disturb_each_other(tmp_path):
    model = model_of("float32", num_layers=2)
    exported = Exported(model, tmp_path)
    series = [inputs(model, 2000, seed) for seed in range(8)]
    alone = [exported.run(X)[0] for X in series]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda X: exported.run(X)[0], series)
        for Y, expected in zip(together, alone, strict=True):
            require_bits(Y, expected)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_cplusplus_includes_the_header_and_links(compiler, tmp_path):
    model_of().export_c(tmp_path / "net.c")
    build("gcc", "-c", "net.c", folder=tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include "net.h"\n'
        "int main() { net_state s; double x[NET_INPUTS] = {}, y[NET_OUTPUTS];\n"
        "  return net_reset(&s) != NET_OK || net_step(&s, x, y) != NET_OK; }\n"
    )
    build(compiler, "-Wall", "-Wextra", "-Werror", "main.cpp", "net.o", "-o", "main", "-lm",
          folder=tmp_path)  # fmt: skip
    execute("./main", folder=tmp_path)


@pytest.mark.parametrize("window", [None, 24])
def test_the_header_says_what_windows_are(window, tmp_path):
    model = model_of()
    model.window = window
    model.export_c(tmp_path / "net.c")
    header = " ".join((tmp_path / "net.h").read_text().split())
    says = "predict reads windows of 24 steps, each from a fresh state"
    assert (says in header) == (window is not None)


def test_the_file_depends_on_the_model_alone(tmp_path):
    model = model_of("float32", **EVERYTHING)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        model.export_c(tmp_path / name / "net.c")
    for file in ("net.c", "net.h"):
        text = (tmp_path / "a" / file).read_bytes()
        assert text == (tmp_path / "b" / file).read_bytes()
        assert text.isascii()
        assert b"\r" not in text


@pytest.mark.parametrize("name", ["layer", "network", "state", "keep", "NET", "x"])
def test_its_name_does_not_disturb_what_is_inside(name, tmp_path):
    model = model_of()
    require_agreement(model, Exported(model, tmp_path, "-O0", name=name), steps=5)


SHADOWED = [
    *("math", "signal", "float", "limits", "assert", "errno", "time", "complex", "locale"),
    *("features", "stdint", "stdio", "unistd", "threads", "omp", "Time", "SIGNAL"),
    *("fpu_control", "immintrin", "avx2intrin", "fmaintrin", "intrin", "cet"),
]


@pytest.mark.parametrize("name", SHADOWED)
def test_a_header_of_c_is_not_replaced(name, tmp_path):
    model, words = model_of(), rf"{name}\.h is a header of C itself or of a system.*{name}_net"
    with pytest.raises(ValueError, match=words + r"\.c$"):
        model.export_c(tmp_path / f"{name}.c")
    with pytest.raises(ValueError, match=words + r"\.f90$"):
        model.export_fortran(tmp_path / f"{name}.f90")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_what_headers_include_is_not_replaced_either(compiler, tmp_path):
    common = ("immintrin", "fenv", "math", "stdio", "stdlib", "pthread", "fpu_control")
    lines = (f"#if __has_include(<{name}.h>)\n#include <{name}.h>\n#endif\n" for name in common)
    (tmp_path / "all.c").write_text("".join(lines))
    listed = execute(find(compiler), "-M", "all.c", folder=tmp_path)
    read = [Path(word) for word in listed.split() if word.endswith(".h")]
    read = [path for path in read if path.parent.name != "bits" and path.stem.isidentifier()]
    folders = {path.parent for path in read if path.stem in (*common, "stddef")}
    names = {path.stem for path in read if path.parent in folders and path.stem[0] != "_"}
    assert {"stdio", "math"} <= names
    for name in names:
        with pytest.raises(ValueError, match="is a header of C itself"):
            model_of().export_c(tmp_path / f"{name}.c")


def test_names_near_those_of_headers_are_good(tmp_path):
    for name in ("time_net", "signals", "n" * 40):
        require_agreement(model_of(), Exported(model_of(), tmp_path, name=name), steps=5)


def test_a_path_may_be_bytes(tmp_path):
    model = model_of()
    for name, write in (("net.c", model.export_c), ("net.f90", model.export_fortran)):
        write(str(tmp_path / name))
        expected = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        write(bytes(tmp_path / name))
        assert (tmp_path / name).read_bytes() == expected
        with pytest.raises(TypeError, match=r"path must be a path, received 3"):
            write(3)


@pytest.mark.parametrize("path", ["net", "net.cpp", "1st.c", "my-net.c", ".c", "n" * 41 + ".c"])
def test_other_names_are_refused(path, tmp_path):
    with pytest.raises(ValueError, match=r"must be called NAME\.c"):
        model_of().export_c(tmp_path / path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [3, None, True, 1.5])
def test_what_is_no_path_is_refused(path):
    for write in (model_of().export_c, model_of().export_fortran):
        with pytest.raises(TypeError, match=f"path must be a path, received {path!r}"):
            write(path)


def test_what_cannot_be_exported_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "net.c"
    with pytest.raises(ValueError, match="bidirectional network has no step"):
        model_of(bidirectional=True).export_c(path)
    model = model_of()
    model.theta[3] = np.nan
    with pytest.raises(ValueError, match="theta has 1 NaN"):
        model.export_c(path)
    X = np.where(np.arange(40) % 7 == 0, np.nan, 1.0)[None, :, None]
    filled = numlstm.fit(
        X, np.ones((1, 40, 1)), missing="mask", epochs=1, backend="reference"
    ).model
    with pytest.raises(ValueError, match="fills missing inputs"):
        filled.export_c(path)
    with pytest.raises(TypeError, match="standardize must be True or False"):
        model_of().export_c(path, standardize=None)
    with pytest.raises(FileNotFoundError):
        model_of().export_c(tmp_path / "nowhere" / "net.c")
    assert not path.exists()
    require_agreement(filled, Exported(filled, tmp_path, standardize=False), steps=50)
