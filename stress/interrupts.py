"""Ctrl-C at random moments: how soon does a call return, and how soon is its process gone?

Of every kind of call a process makes a long one, and gets SIGINT at a random moment. The time is
taken until the call has returned, and until the process has ended, which without
Ctrl-C takes its time too ("bare": the interpreter takes Numba's objects apart). A fit must return
the parameters of a whole step, which a run without Ctrl-C has gone through; other calls, and a fit
that still reads its data, raise KeyboardInterrupt, and a model is what it was.

    python stress/interrupts.py                             # 10 moments of each of 20 calls
    python stress/interrupts.py least_squares --moments 200
    python stress/interrupts.py --limit 0.25                # fails where a 99th percentile is above

A moment takes about 4 seconds on two cores, so each of the first two about a quarter of an hour.
"""

import argparse
import hashlib
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import numlstm
from numlstm.training.progress import Progress

LATEST = 2.5  # seconds into a call; all take longer
SOONEST = 0.05  # seconds; a call that is over by then is none to leave
REFERENCE = 120.0  # seconds, at most, of the run that is never interrupted
SOLVERS = (  # and the units of their networks: with so many, their own algebra takes long
    ("CG", 24),
    ("Newton-CG", 24),
    ("trust-ncg", 24),
    ("trust-krylov", 24),
    ("L-BFGS-B", 24),
    ("TNC", 24),
    ("BFGS", 24),
    ("SLSQP", 10),
    ("trust-constr", 10),
    ("least_squares", 18),
)


def sine(rows: int, steps: int, features: int = 1) -> np.ndarray:
    """Phase-shifted sines, (rows, steps, features)."""
    phase = np.arange(rows)[:, None, None] + np.arange(features)
    result: np.ndarray = np.sin(np.arange(steps)[None, :, None] / 9 + phase)
    return result


# --- what a child does ----------------------------------------------------------------------------


class LongCall(NamedTuple):
    """A long call: of a callback for a fit, of nothing for others; and the same, but short."""

    make: Callable[..., Any]
    warm: Callable[..., Any]
    is_fit: bool
    model: numlstm.LSTM | None = None


def stochastic(method: str, scale: int) -> LongCall:
    """One update per epoch, of `scale` times 500 steps of 8 rows."""
    fit = partial(numlstm.fit, method=method, hidden_size=96, rng=0, progress=False)
    call = partial(fit, sine(8, 500 * scale), epochs=10**6)
    return LongCall(call, partial(fit, sine(8, 20), epochs=1), True)


def scipys(method: str, units: int) -> LongCall:
    """A method of SciPy's, on 4000 steps, of a network of so many units."""
    fit = partial(numlstm.fit, method=method, hidden_size=units, rng=0, progress=False)
    if method in ("SLSQP", "trust-constr"):
        fit = partial(fit, limits={"bounds": {"bias_l0": (-3, 3)}})
    call = partial(fit, sine(8, 500), epochs=10**6)
    return LongCall(call, partial(fit, sine(2, 20), epochs=1), True)


def ensemble() -> LongCall:
    """Eight members, one update per epoch."""
    fit = partial(numlstm.ensemble, members=8, hidden_size=48, rng=0, progress=False)
    call = partial(fit, sine(8, 2000), epochs=10**6)
    return LongCall(call, partial(fit, sine(8, 9), epochs=1), True)


def covariance() -> LongCall:
    """All directions of 1169 parameters, for 12000 residuals."""
    fit = partial(numlstm.fit, hidden_size=16, dtype="float64", rng=0, progress=False)
    result = fit(sine(8, 50), epochs=1)
    long, short = (
        partial(result.covariance, sine(8, steps), weight_decay=0.1, rank=rank)
        for steps, rank in ((1500, None), (20, 2))
    )
    return LongCall(long, short, False, result.model)


def of_a_model(name: str, **network: Any) -> LongCall:
    """A method of a model that reads one long series."""
    model = numlstm.LSTM(1, 64, 1, rng=0, **network)
    model.forecasts = True
    if name == "rollout":
        long, short = (partial(model.rollout, sine(1, 10)[0], steps) for steps in (15_000_000, 10))
        return LongCall(long, short, False, model)
    long, short = (partial(model.predict, np.tile(sine(1, 1000)[0], (n, 1))) for n in (8_000, 1))
    return LongCall(long, short, False, model)


CALLS: dict[str, Callable[[], LongCall]] = {
    **{method: partial(stochastic, method, 40) for method in ("adam", "adamw", "sgd", "rmsprop")},
    "adam, short steps": partial(stochastic, "adam", 1),
    **{method: partial(scipys, method, units) for method, units in SOLVERS},
    "ensemble": ensemble,
    "covariance": covariance,
    "rollout": partial(of_a_model, "rollout"),
    "predict": partial(of_a_model, "predict"),
    "predict, two layers": partial(of_a_model, "predict", num_layers=2, cell={"peephole": True}),
}


def digest(theta: np.ndarray) -> str:
    """The SHA-256 of some parameters."""
    return hashlib.sha256(theta.tobytes()).hexdigest()


def theta_of(result: Any) -> np.ndarray:
    """The parameters that a fit or an ensemble ended with."""
    models = getattr(result, "models", None)
    return result.x if models is None else np.stack([model.theta for model in models])


def child(name: str) -> None:
    """Make the call; say when it began and returned, and with what."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
    call = CALLS[name]()
    call.warm()
    before = call.model and digest(call.model.theta)
    print("begin", flush=True)
    try:
        result = call.make()
    except KeyboardInterrupt:
        print("returned", time.monotonic(), "raised", flush=True)
        if call.model is not None:  # a fit raises where it still reads its data
            assert before == digest(call.model.theta), "the model has changed"
        call.warm()  # what was abandoned does not disturb it
    else:
        if not call.is_fit or result.status != 98:
            print("over", flush=True)
            return
        print("returned", time.monotonic(), "result", flush=True)
        print("theta", digest(theta_of(result)), flush=True)
    print("end", time.monotonic(), flush=True)


def reference(name: str) -> None:
    """Say the digest of every step's parameters, from the first ones on."""
    call, begin = CALLS[name](), Progress.start

    def say(intermediate_result: Any) -> None:
        print(digest(intermediate_result.x), flush=True)

    def beginning(theta: np.ndarray, *members: int) -> Progress:
        print(digest(theta), flush=True)
        return begin(theta, *members)

    with mock.patch.object(Progress, "start", beginning):
        call.make(callback=say)


def bare(name: str) -> None:
    """The end of a process without Ctrl-C."""
    CALLS[name]().warm()
    print("end", time.monotonic(), flush=True)


# --- what the parent does -------------------------------------------------------------------------


class Moment(NamedTuple):
    """Seconds from the signal, and what a fit returned."""

    returned: float
    ended: float
    theta: str | None


def start(kind: str, name: str) -> subprocess.Popen[str]:
    """A child of this kind."""
    command = [sys.executable, __file__, "--child", kind, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


class TooLate(Exception):
    """A call was over before the signal came."""


def said(process: subprocess.Popen[str], word: str) -> list[str]:
    """What a child says behind this word; it must say nothing else."""
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if words == ["over"]:
        process.kill()
        raise TooLate
    assert words[:1] == [word], f"expected {word!r}, received {words}"
    return words[1:]


def measure(name: str, delay: float) -> Moment:
    """One moment: so many seconds into the call."""
    with start("call", name) as process:
        said(process, "begin")
        time.sleep(delay)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        moment, how = said(process, "returned")
        theta = said(process, "theta")[0] if how == "result" else None
        (end,) = said(process, "end")
        assert process.wait() == 0, f"{name} ended with {process.returncode}"
        ended = time.monotonic()
    # what the child checks between both is not counted
    checked = float(end) - float(moment)
    return Moment(float(moment) - pressed, ended - pressed - checked, theta)


def measure_within(name: str, rng: np.random.Generator) -> Moment:
    """One moment within the call, which a fast machine may end sooner than others."""
    latest = LATEST
    while latest > SOONEST:
        try:
            return measure(name, rng.uniform(0, latest))
        except TooLate:
            latest /= 2
    raise AssertionError(f"{name} is too short a call")


def bare_end(name: str) -> float:
    """Seconds that the end of a process takes without Ctrl-C."""
    with start("bare", name) as process:
        (end,) = said(process, "end")
        process.wait()
        return time.monotonic() - float(end)


def require_whole_steps(name: str, thetas: set[str]) -> None:
    """Follow a run without Ctrl-C until it has gone through all these parameters."""
    if not thetas:
        return
    with start("reference", name) as process:
        assert process.stdout is not None
        end = time.monotonic() + REFERENCE
        while thetas and time.monotonic() < end:
            thetas = thetas - {process.stdout.readline().strip()}
        process.kill()
    assert not thetas, f"{name}: parameters of no whole step"


def in_words(moments: list[Moment]) -> str:
    """Median, 99th percentile and largest time until the return, then until the end."""
    times = np.array([[moment.returned, moment.ended] for moment in moments])
    points = 1000 * np.quantile(times, [0.5, 0.99, 1.0], axis=0)
    return "   ".join("".join(f"{point:7.0f}" for point in column) for column in points.T)


def run(name: str, moments: int, rng: np.random.Generator) -> list[Moment]:
    """Measure a call, and check that every fit ended with a whole step."""
    found = [measure_within(name, rng) for _ in range(moments)]
    require_whole_steps(name, {moment.theta for moment in found if moment.theta is not None})
    bare = bare_end(name)
    print(f"{name:24}{in_words(found)}   {1000 * bare:7.0f}", flush=True)
    return found


def main() -> int:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("calls", nargs="*", help=", ".join(CALLS))
    parser.add_argument("--moments", type=int, default=10, help="of each call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=np.inf, help="seconds until the return")
    parser.add_argument("--child", choices=("call", "reference", "bare"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        warnings.simplefilter("ignore")  # a short covariance leaves out directions, and says so
        {"call": child, "reference": reference, "bare": bare}[args.child](*args.calls)
        return 0
    rng, every = np.random.default_rng(args.seed), []
    print("milliseconds from Ctrl-C       until the return        until the end       bare end")
    print(f"{'':24}{'median':>7}{'99 %':>7}{'most':>7}   {'median':>7}{'99 %':>7}{'most':>7}")
    for name in args.calls or CALLS:
        every += run(name, args.moments, rng)
    print(f"{'all':24}{in_words(every)}")
    return int(np.quantile([moment.returned for moment in every], 0.99) > args.limit)


if __name__ == "__main__":
    sys.exit(main())
