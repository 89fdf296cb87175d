"""A fit that stays on the device: data, parameters and the optimiser's arrays.

An update is a sequence of launches that reads all that changes, such as the rows of the batch and
the learning rate, from a few numbers on the device. What is done again and again is captured in a
graph, and then an update is two small copies there, one launch, and four numbers back.
"""

import warnings
from collections import Counter, OrderedDict
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import State
from numlstm.backends.cuda.device import sums
from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import (
    Arena,
    driver,
    empty,
    flat,
    full,
    inside,
    launched,
    nothing,
    on_device,
    on_host,
    over_elements,
    send,
    stream,
)
from numlstm.backends.cuda.training import arrays, optimizers

MOST_PROGRAMS = 8  # sizes of windows that are kept as graphs: each has memory of its own


class Kind(NamedTuple):
    """The shape of an update: launches that were captured for one serve all of the same kind."""

    rows: int
    steps: int
    first: bool  # from the initial state, not from one that is carried


class Update:
    """Updates on the device; see `numlstm.training.update.Update` for what the functions mean.

    An update that is left in the middle is still made on the device.
    """

    def __init__(self, evaluator, train, state, optimizer, config, draws):
        self.evaluator, self.train, self.draws = evaluator, train, draws
        self._state, self._optimizer, self._has_own = state, optimizer, False
        self.theta, self.previous = on_device(state.theta), on_device(state.previous)
        self.method = type(optimizer).__name__.lower()
        own: Any = optimizers.METHODS[self.method].arrays
        self.arrays = own(*(on_device(optimizer.state[name]) for name in own._fields))
        self.constants = optimizers.Constants(
            optimizer.constants, optimizer.weight_decay, config.clip
        )
        self.limits = _limits(config.limits, self.theta.dtype)
        self.carried = state.carried and State(*map(on_device, state.carried))
        self._programs: OrderedDict[Kind, Program] = OrderedDict()
        self._seen: Counter[Kind] = Counter()

    def learn_from(self, train) -> None:
        """Take other training data, where launches that were captured read the old ones if it can.

        Those that it began with are not its own.
        """
        if self._has_own and self.train.take(train):
            return
        self.train, self._has_own = train, True
        self._programs.clear()
        self._seen.clear()

    def advance(self, context) -> State:
        """The state after a window in which there is nothing to learn."""
        start, stop, rows, _ = context.window
        window = self.train.cut(start, stop, rows)
        number = on_device(np.array([context.number], np.int64))
        network, sizes = self.evaluator.network, window.X.shape[:2]
        noise = network.draw_noise(self.draws, number, *sizes)
        return self.evaluator.advance(self.theta, window, self.carried, noise)

    def carry(self, state: State | None) -> None:
        """Begin the next window with this state."""
        self.carried = state

    def evaluate(self, context) -> tuple[np.ndarray, State]:
        """(loss, norm and the two faults of the update), state after the window."""
        start, stop, chosen, _ = context.window
        rows = self.train.numbers(chosen)
        kind = Kind(rows.size, stop - start, self.carried is None)
        program = self._program(kind)
        program.fed = self.train.feed(start, stop, chosen, program.fed)
        if not kind.first and self.carried is not program.state:
            for target, part in zip(program.state, self.carried, strict=True):
                over_elements(arrays.put, part.size, flat(part), flat(target), 0)
        count = self._optimizer.steps + 1
        numbers = optimizers.numbers_of(self.method, self.constants, count, context.rate)
        send(np.concatenate([[1 / context.mean_weight], numbers]), program.numbers)
        integers = np.concatenate([[start, context.number], rows])
        send(integers.astype(np.int64), program.integers)
        program.run()
        return on_host(program.results), program.state

    def apply(self, evaluated, context) -> tuple[float, float]:
        """Carry the state; (loss over `mean_weight`, norm of the gradient)."""
        (value, norm, _, not_finite), state = evaluated
        if np.isfinite(value + norm):
            self._optimizer.steps += 1
            self.carry(state)
        return float(value), np.inf if not_finite else float(norm)

    def fetch(self) -> None:
        """Bring what updates changed to NumPy's memory."""
        state, optimizer = self._state, self._optimizer
        state.theta[...], state.previous[...] = map(on_host, (self.theta, self.previous))
        state.carried = self.carried and State(*map(on_host, self.carried))
        for name, array in self.arrays._asdict().items():
            optimizer.state[name][...] = on_host(array)

    def _program(self, kind: Kind) -> "Program":
        """The launches of a kind; those of a kind that comes again are kept, and become a graph."""
        self._seen[kind] += 1
        program = self._programs.pop(kind, None) or Program(self, kind)
        if self._seen[kind] > 1:
            self._programs[kind] = program
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        return program


class Program:
    """The launches of an update of some kind, and the memory that they read and write."""

    def __init__(self, owner: Update, kind: Kind):
        self.owner, self.kind = owner, kind
        self._arena, self._runs = Arena(), 0
        self._graph: Any = None
        self.fed: Any = None  # the window, where it was brought over
        count = optimizers.numbers_of(owner.method, owner.constants, 1, 1.0).size
        self.numbers = empty(1 + count, np.float64)  # scale of the loss, then those of the update
        self.integers = empty(2 + kind.rows, np.int64)  # first step, number of the window, rows
        self.results = empty(4, np.float64)
        zero = owner.evaluator.network.zero_state(kind.rows)  # whose h and c may be one array
        self.state = State(*map(arrays.copy, zero))

    def run(self) -> None:
        """Launch everything: at first one by one, from the second time on as a graph."""
        self._runs += 1
        if self._runs == 2:
            self._capture()
        if self._graph is None:
            self._in_arena()
        else:
            self._graph.launch()

    def _capture(self) -> None:
        try:
            self._graph = driver.Graph(self._in_arena, stream())
        except Exception as error:  # it is a matter of speed alone
            warnings.warn(
                f"an update could not be captured in a CUDA graph ({error}): its kernels are "
                "launched one by one, which is slower",
                stacklevel=2,
            )

    def _in_arena(self) -> None:
        with inside(self._arena):
            self._launch()

    def _launch(self) -> None:
        owner, (rows, steps, first) = self.owner, self.kind
        start, number, chosen = self.integers[0:1], self.integers[1:2], self.integers[2:]
        window = owner.train.window(chosen, start, steps) if self.fed is None else self.fed
        noise = owner.evaluator.network.draw_noise(owner.draws, number, rows, steps)
        value, gradient, state = owner.evaluator.step(
            *(owner.theta, window, None if first else self.state, self.numbers[0:1], noise)
        )
        norm, status = sums.norm(gradient, owner.limits.free), full((2,), 0, np.int32)
        optimizers.update(
            *(owner.method, owner.theta, owner.previous, gradient, owner.arrays),
            *(owner.limits, value, norm, self.numbers[1:], status),
        )
        for target, part in zip(self.state, state, strict=True):
            over_elements(arrays.put, part.size, flat(part), flat(target), 0)
        launched(report, 1, 1)(value, norm, status, self.results)


def _limits(limits: Any, dtype) -> optimizers.Limits:
    """The limits on theta, on the device."""
    if limits is None:
        empty_vector = nothing(dtype.name, 1)
        return optimizers.Limits(nothing("uint8", 1), empty_vector, empty_vector)
    bounds = (on_device(bound, dtype) for bound in (limits.lower, limits.upper))
    return optimizers.Limits(on_device(limits.free), *bounds)


@kernel
def report(value, norm, status, results):
    """results (4,) = value (1,), norm (1,), status (2,)."""
    results[0], results[1] = value[0], norm[0]
    results[2], results[3] = status[0], status[1]
