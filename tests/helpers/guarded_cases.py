"""Networks of every variant and odd sizes, and everything that kernels do with one.

Run as ``python -m helpers.guarded_cases``, in a process of its own, it says on standard output what
it is about to do, so that the last line names what ended it. Where nothing did, that line says what
kernels ran, as JSON.
"""

import argparse
import ctypes
import faulthandler
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

import numba
import numpy as np

import numlstm
from helpers import guard
from helpers.compilers import Exported
from helpers.covering import Choice, Pair, covering
from helpers.harness import require_bits, run_case
from helpers.stepping import adjoint, simulate_and_keep
from helpers.strategies import Case
from numlstm.architecture.cell import ACTIVATIONS, FORGET_GATES, LAYER_NORMS, Cell
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.backends import cpu
from numlstm.backends.cpu.layer import jacobians, members, shards, tangents  # noqa: F401
from numlstm.data.scaling import Scaling
from numlstm.network import derivatives, trace
from numlstm.network.network import Network, with_tangent
from numlstm.objectives.member_evaluator import can_batch, member_blocks
from numlstm.stepping import rollout
from numlstm.stepping.kernels.step import JVP, VJP
from numlstm.stepping.stepper import stepper_of

FACTORS: dict[str, tuple] = {
    "dtype": ("float32", "float64"),
    "hidden_size": (1, 3, 7, 8, 9, 16, 17, 31, 33, 65),
    "input_size": (1, 2, 5),
    "output_size": (None, 1, 3, 9),
    "proj_size": (None, None, 1, 5),
    "num_layers": (1, 2),
    "bidirectional": (False, True),
    "residual": (False, True),
    "learned_state": (False, True),
    "direct_input": (False, True),
    "forget_gate": FORGET_GATES,
    "peephole": (False, True),
    "layer_norm": LAYER_NORMS,
    "clips": (False, True),
    "activations": (False, True),
    "plain": (False, True, True),  # whatever the six before say
    "by_units": (False, True),
    "chunk": (1, 128),
    "dropout": ("none", "zoneout", "all"),
    "B": (1, 2, 3, 5, 17),
    "T": (1, 2, 7),
    "ragged": (False, True),
    "resets": (False, True),
    "last": (False, True),
    "begins": (False, True),
}
CELL = ("forget_gate", "peephole", "layer_norm")
MOST_OF_JACOBIANS = 10**6  # elements
FIXED: dict[str, Any] = {name: levels[0] for name, levels in FACTORS.items()} | {"plain": True}
LARGE: list[dict[str, Any]] = [  # several shards, rounds of the lines of a tape, large weights
    {"B": B, "T": T, "hidden_size": H, "dtype": dtype, "output_size": output, **variant}
    for dtype in FACTORS["dtype"]
    for variant in ({}, {"plain": False, "layer_norm": True, "dropout": "all", "proj_size": 1})
    for B, T, H, output in ((17, 70, 7, 3), (130, 2, 3, 1), (2, 70, 131, None), (40, 3, 9, 2))
]
NETWORK = (
    *("input_size", "hidden_size", "output_size", "num_layers", "dtype"),
    *("bidirectional", "residual", "learned_state", "direct_input"),
)


def choices(seed: int) -> Iterator[Choice]:
    """Choices in which every pair of levels of two factors is, and drawn levels beside it."""
    rng = np.random.default_rng(seed)

    def draw(missing: list[Pair]) -> Iterator[Choice]:
        for _ in range(20):
            first = dict(missing[rng.integers(len(missing))])
            yield {
                name: levels[rng.integers(len(levels))] for name, levels in FACTORS.items()
            } | first

    wanted = [
        ((a, one), (b, other))
        for a, b in combinations(FACTORS, 2)
        for one, other in product(FACTORS[a], FACTORS[b])
    ]
    return covering(wanted, draw)


def has_projection(chosen: dict[str, Any]) -> bool:
    """Whether a choice of levels has one."""
    size = chosen["proj_size"]
    return not chosen["plain"] and size is not None and size <= chosen["hidden_size"]


def case_of(chosen: dict[str, Any], seed: int) -> Case:
    """The network and the data of a choice of levels."""
    rng = np.random.default_rng(seed)
    cell = Cell()
    if not chosen["plain"]:
        limits = {"activation_clip": 2.5, "cell_clip": 1.5} if chosen["clips"] else {}
        own = {name: chosen[name] for name in CELL}
        if chosen["activations"]:
            own["activations"] = tuple(map(str, rng.choice(list(ACTIVATIONS), 3)))
        limits |= {"proj_clip": 0.1} if chosen["clips"] and has_projection(chosen) else {}
        cell = Cell(**own, **limits)
    rates = {"zoneout_h": 0.2, "zoneout_c": 0.3} if chosen["dropout"] != "none" else {}
    if chosen["dropout"] == "all":
        rates |= dict.fromkeys(("inputs", "layers", "states", "recurrent", "weights"), 0.25)
    P = chosen["proj_size"] if has_projection(chosen) else None
    sizes = {name: chosen[name] for name in NETWORK}
    sizes["residual"] = sizes["residual"] and sizes["num_layers"] > 1
    sizes["direct_input"] = sizes["direct_input"] and sizes["output_size"] is not None
    if chosen["plain"]:
        rates = {}
    spec = NetworkSpec(**sizes, proj_size=P, cell=cell, dropout=Dropout(**rates))
    flags = {name: chosen[name] for name in ("B", "T", "ragged", "resets", "last", "begins")}
    return Case(spec, **flags, seed=seed, noisy=bool(rates))


# --- what kernels do with a network ---------------------------------------------------------------


def passes(case: Case) -> None:
    """Forward without and with a tape, and backward with and without gradients of X and theta."""
    numbers, network = case.numbers, Network(case.spec, cpu)
    weights = network.pack(numbers.theta)
    network.forward(weights, numbers.X, numbers.state, numbers.lengths, last=case.last)
    run_case(cpu, case, need_dX=True)
    run_case(cpu, case, need_dX=False)
    options = {"last": case.last, "reset": numbers.reset, "noise": numbers.noise}
    given = network.pack(numbers.theta, numbers.noise), numbers.X, numbers.state, numbers.lengths
    _, _, tape = network.forward(*given, tape=True, **options)
    network.backward(given[0], tape, numbers.dY, need_dX=True, need_dtheta=False)


def derivatives_along(case: Case) -> None:
    """Hessian times vector and Jacobian times vector: kernels over dual numbers."""
    theta, X, state, lengths, dY, dstate, reset, noise = case.numbers
    network = Network(case.spec, cpu).tangents
    weights = network.pack(with_tangent(theta, np.ones_like(theta)), noise)
    options = {"reset": reset, "noise": noise, "last": case.last}
    _, _, tape = network.forward(weights, X, state, lengths, tape=True, **options)
    network.backward(weights, tape, dY, dstate, need_dX=True)
    network.forward(network.pack(theta), with_tangent(X, np.ones_like(X)), state, lengths)


def transitions(case: Case) -> None:
    """The Jacobians of all steps."""
    theta, X, state, lengths, _, _, reset, _ = case.numbers
    network = Network(case.spec, cpu)
    if derivatives.state_size(network) ** 2 * case.B * case.T < MOST_OF_JACOBIANS:
        derivatives.transitions(network, derivatives.Run(theta, X, state, lengths, reset))


def traces(case: Case) -> None:
    """Gates and cells off the tape: all of them, and of some units and steps of the last layer."""
    (theta, X, state, lengths, _, _, reset, _), spec = case.numbers, case.spec
    network = Network(spec, cpu)
    inputs, weights = trace.Inputs(X, state, lengths, reset, None), network.pack(theta)
    layers, steps = np.arange(len(spec.layers)), np.arange(case.T)
    names = tuple(name for name in trace.QUANTITIES if name in ("h", "c", *spec.cell.gates))
    trace.trace(network, weights, inputs, trace.Wanted(names, layers, steps, None))
    some = trace.Wanted(names, layers[-1:], steps[::-2], np.array([spec.hidden_size - 1, 0]))
    trace.trace(network, weights, inputs, some)


def of_members(case: Case) -> None:
    """The layers and the head of the members of an ensemble, together."""
    numbers, kernels, rng = case.numbers, cpu.members(), np.random.default_rng(case.seed)
    for count in (1, 3):
        X, lengths = numbers.X[None], numbers.lengths
        blocks = member_blocks(case.spec, np.stack([numbers.theta] * count))
        for layer, thetas in zip(case.spec.layers, blocks, strict=False):
            Y, tape = kernels.forward(layer, thetas, X, lengths)
            kernels.final_state(layer, tape)
            for need_dX in (True, False):
                Y, tape = kernels.forward(layer, thetas, X, lengths)
                dY = rng.standard_normal(Y.shape).astype(Y.dtype)
                kernels.backward(layer, thetas, tape, dY, need_dX)
            X = Y
        if case.spec.head:
            Y = kernels.head_forward(case.spec.head, blocks[-1], X)
            kernels.head_backward(case.spec.head, blocks[-1], X, Y)


def model_of(case: Case) -> numlstm.LSTM:
    """The network as a model, often for data with units of their own."""
    model = numlstm.LSTM.from_spec(case.spec, "cpu", case.numbers.theta)
    if case.seed % 2:
        rng, sizes = np.random.default_rng(case.seed), (case.spec.input_size, case.spec.width)
        model.scaling = Scaling(*(rng.uniform(0.5, 2, size) for size in np.repeat(sizes, 2)))
    return model


def single_steps(case: Case) -> None:
    """Steps from Python, and what compiled code calls, by its address."""
    model = model_of(case)
    state = model.step(case.numbers.X[:, 0])[1]
    model.step(case.numbers.X[:, 0], state)
    require_the_same_anywhere(partial(_by_address, model, case))


def _by_address(model: numlstm.LSTM, case: Case, place: "Place") -> list[np.ndarray]:
    """All that a step and its derivatives write."""
    rng = np.random.default_rng(case.seed)
    stepper, function = model.njit(derivatives=True), model.cfunc()
    x = np.zeros((case.B, model.spec.input_size), model.spec.dtype)
    y = np.zeros((case.B, model.spec.width), x.dtype)
    h, c = stepper.initial_state(case.B)
    ahead = x, h, c, y, x, h, c, y
    results = []
    for address, like in (
        (function.address, (x, h, c, y)),
        (stepper.memory[JVP], ahead),
        (stepper.memory[VJP], (x, h, c, y, h, c, x, model.theta)),
    ):
        arrays = [place(rng.standard_normal(a.shape).astype(a.dtype)) for a in like]
        pointers = [array.ctypes.data for array in arrays]
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int64, *[ctypes.c_void_p] * (1 + len(like)), ctypes.c_int64
        )
        net = function.net if address == function.address else stepper.address
        assert kind(int(address))(net, *pointers, case.B) == 0
        results += arrays
    return results


Place = Callable[[np.ndarray], np.ndarray]  # puts a copy of an array somewhere


def require_the_same_anywhere(function: Callable[[Place], list[np.ndarray]]) -> None:
    """Nets and arrays in guarded memory, both ways, and as usual: the same bits."""
    results = []
    for side in guard.SIDES:
        guard.allocations[0] = side == guard.END
        with guard.guarded_nets(side):
            results.append(function(partial(guard.guarded, side=side)))
    results.append(function(np.copy))
    for one in results[1:]:
        for have, want in zip(one, results[0], strict=True):
            require_bits(have, want)


def loops(case: Case) -> None:
    """Steps and their derivatives in compiled loops of a user's own."""
    for batch in ((), (case.B,)):
        require_the_same_anywhere(partial(_loop, model_of(case), case, batch))


def _loop(
    model: numlstm.LSTM, case: Case, batch: tuple, place: Place, static: Any = None
) -> list[np.ndarray]:
    """All that the loops write."""
    rng, stepper = np.random.default_rng(case.seed), model.njit(derivatives=True, static=static)

    def drawn(*like: np.ndarray) -> list[np.ndarray]:
        return [place(rng.standard_normal(a.shape).astype(a.dtype)) for a in like]

    start, T, dtype = stepper.initial_state(*batch), case.T, model.spec.dtype
    [X] = drawn(np.zeros((T, *batch, model.spec.input_size), dtype))
    h, c = drawn(*start)
    H, C = (place(np.zeros((T, *part.shape), dtype)) for part in start)
    Y = place(np.zeros((T, *batch, model.spec.width), dtype))
    assert simulate_and_keep(stepper, X, h, c, Y, H, C) == 0
    dX, dY, dh, dc, dtheta = drawn(X, Y, h, c, model.theta)
    assert adjoint(stepper, X, H, C, dY, dh, dc, dX, dtheta) == 0
    ahead = drawn(X[0], h, c, Y[0], X[0], h, c, Y[0])
    assert one_jvp(stepper, *ahead) == 0
    return [h, c, Y, H, C, dh, dc, dX, dtheta, *ahead]


@numba.njit
def one_jvp(stepper, x, h, c, y, dx, dh, dc, dy):
    return stepper.step_jvp(x, h, c, y, dx, dh, dc, dy)


def closed_loop(case: Case) -> None:
    """A rollout and its gradients."""
    theta, X, state, _, _, _, _, _ = case.numbers
    stepper = stepper_of(case.spec, theta, None, derivatives=True)
    fed = np.random.default_rng(case.seed).random(X.shape[:2]) < 0.5
    fed[:, :1] = False
    rollout.forward(stepper, case.spec, X, fed, state, False)
    Y, _, tape = rollout.forward(stepper, case.spec, X, fed, state, True)
    rollout.backward(stepper, case.spec, tape, Y)


def with_attributes(case: Case) -> None:
    """Passes, loops and a rollout of sequences with attributes."""
    spec, rng = replace(case.spec, static_size=3), np.random.default_rng(case.seed)
    theta = rng.standard_normal(spec.num_parameters).astype(spec.dtype)
    model, X = numlstm.LSTM.from_spec(spec, "cpu", theta), case.numbers.X
    static = rng.standard_normal((case.B, 3)).astype(spec.dtype)
    Y, pullback = model.vjp(X, lengths=case.numbers.lengths, static=static)
    pullback(Y)
    if spec.bidirectional:
        return
    model.step(X[:, 0], static=static)
    for batch in ((), (case.B,)):
        require_the_same_anywhere(partial(_loop, model, case, batch, static=static[0]))
    if spec.width <= spec.input_size:
        stepper, fed = stepper_of(spec, theta, None, derivatives=True), np.zeros(X.shape[:2], bool)
        for side in guard.SIDES:
            with guard.guarded_nets(side):
                Y, _, tape = rollout.forward(stepper, spec, X, fed, None, True, static)
                rollout.backward(stepper, spec, tape, Y)


def in_c(case: Case) -> None:
    """The exported C file."""
    model = model_of(case)
    with tempfile.TemporaryDirectory() as folder:
        exported = Exported(model, Path(folder))
        for side in guard.SIDES:
            state = guard.guarded(np.zeros_like(exported.new_state()), side)
            assert exported.reset(state.ctypes.data) == 0
            for x in case.numbers.X[0]:
                x = guard.guarded(x, side)
                y = guard.guarded(np.zeros(model.spec.width, x.dtype), side)
                assert exported.step(*(array.ctypes.data for array in (state, x, y))) == 0


def operations(case: Case, compiler: bool) -> Iterator[Callable[[Case], None]]:
    """Those that this network has."""
    spec = case.spec
    yield from (passes, traces, derivatives_along, with_attributes)
    if can_batch(Network(spec, cpu)):
        yield of_members
    if not spec.bidirectional:
        yield from (transitions, single_steps, loops)
        if spec.width <= spec.input_size:
            yield closed_loop
        if compiler:
            yield in_c


@contextmanager
def layouts(by_units: bool, chunk: int) -> Iterator[None]:
    """Layers in shards of units whatever their size, with so many lines of tape to a chunk."""
    usual, lines = shards.is_by_units, shards.CHUNK_LINES
    shards.CHUNK_LINES = chunk
    if by_units:
        shards.is_by_units = lambda spec, batch: True
    shards.uniform.cache_clear()
    try:
        yield
    finally:
        shards.is_by_units, shards.CHUNK_LINES = usual, lines
        shards.uniform.cache_clear()


Work = tuple[dict[str, Any], Case, list[Callable[[Case], None]]]


def every_case(seed: int) -> Iterator[Work]:
    """The covering set and the large ones: levels, case, and all operations."""
    compiler = shutil.which("gcc") is not None
    for number, levels in enumerate([*choices(seed), *map(FIXED.__or__, LARGE)]):
        case = case_of(levels, 1000 * seed + number)
        yield levels, case, list(operations(case, compiler))


def small_cases() -> Iterator[Work]:
    """Every kernel once."""
    plain = {"hidden_size": 9, "input_size": 2, "output_size": 3, "B": 5, "T": 7, "ragged": True}
    double = FIXED | plain | {"dtype": "float64"}
    single = FIXED | plain | {"dtype": "float32", "plain": False}
    variant = {"plain": False, "output_size": 1, "peephole": True, "clips": True, "resets": True}
    most = {"layer_norm": True, "clips": True, "proj_size": 5, "dropout": "all"}
    most |= {"learned_state": True}
    every = (passes, traces, derivatives_along, transitions)
    for levels, work in (
        (double, (*every, of_members, with_attributes)),
        (double | variant | {"num_layers": 2}, (*every, of_members, single_steps, closed_loop)),
        (single | most | {"output_size": 1}, (with_attributes,)),
        (double | {"by_units": True, "hidden_size": 17, "chunk": 1}, (passes, traces)),
        (
            single | most | {"output_size": 1, "num_layers": 2},
            (passes, derivatives_along, single_steps),
        ),
    ):
        yield levels, case_of(levels, 1), list(work)


def main() -> None:
    faulthandler.enable()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, help="of a covering set; without it the small cases")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scratch", action="store_true", help="guard that of steps too")
    parser.add_argument("--probe", action="store_true", help="see `guard.Probe`; takes minutes")
    options = parser.parse_args()
    guard.guard_allocations()
    failed = sorted(name for name, as_expected in guard.self_test().items() if not as_expected)
    if options.scratch:
        guard.guard_scratch()
    cases = small_cases() if options.seed is None else every_case(options.seed)
    with guard.guarded_kernels(guard.Probe() if options.probe else guard.Kernels()) as kernels:
        for number, (levels, case, work) in islice(enumerate(cases), options.first, None):
            with layouts(levels["by_units"], levels["chunk"]):
                for operation in work:
                    print(f"case {number}, {operation.__name__}: {levels}", flush=True)
                    operation(case)
    assert guard.allocations[1], "no kernel has allocated guarded memory"
    missed = sorted(guard.entries() - {name for name, _ in kernels.seen})
    seen = {" ".join(key): count for key, count in sorted(kernels.seen.items())}
    report = {"failed": failed, "missed": missed, "seen": seen}
    if isinstance(kernels, guard.Probe):
        untouched = sorted(key for key, noticed in kernels.fates.items() if not noticed)
        report |= {"probes": len(kernels.fates), "untouched": untouched}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
