"""Back-propagation through time, truncated: cut, carry the state, bound the memory.

A sequence is cut into windows of k steps. The state is carried across a cut, the gradient is
not: Williams & Peng (1990), "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories", Neural Computation 2(4), BPTT(h; h') with h = h' = k.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.architecture.spec import NetworkSpec, State
from numlstm.data.sequences import Dataset
from numlstm.data.windows import WindowedDataset
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, Weights, constant, with_tangent
from numlstm.optim.losses import CURVATURES

# Elements of hidden sequence that are held at once where the cut is ours to choose. They depend
# on the problem alone, so that sums have the same order everywhere.
_HELD = 2**20
_TAPED = 2**22


Run = Callable[..., Any]  # calls a function as `run_here`, or raises an exception instead
# gets the rows of a piece, and its outputs, targets and weights in NumPy's memory
Watch = Callable[[slice, np.ndarray, np.ndarray, np.ndarray], None]


def windows(steps: int, k: int | None) -> list[tuple[int, int]]:
    """(start, stop) of every window of k steps; one window for k=None."""
    k = k or max(steps, 1)
    return [(start, min(start + k, steps)) for start in range(0, max(steps, 1), k)]


def pieces(spec: NetworkSpec, data: Any) -> Iterator[tuple[slice, list[tuple[int, int]]]]:
    """Rows of a dataset, and the windows of them, that are passed forward at once."""
    # a bidirectional network needs sequences whole: then fewer of them at once
    size = max(1, _HELD // (spec.hidden_width * max(1, data.steps())))
    for rows in _blocks(data.count, size if spec.bidirectional else 1024):
        k = None
        if not spec.bidirectional:
            k = max(1, _HELD // ((rows.stop - rows.start) * spec.hidden_width))
        yield rows, windows(data.steps(rows), k)


def run_here(function: Callable[..., Any], *args: Any, extent: float = 0) -> Any:
    """Call the function; the place of `Runner.run`, which can be interrupted."""
    return function(*args)


@dataclass(frozen=True)
class Evaluator:
    """A network and a loss: values and gradients over a window, or over a whole dataset.

    Data, states and gradients are in the backend's memory (`resident` brings them there), but for
    `hessp`; a theta may also be in the host's, and numbers may be arrays of one element.
    """

    network: Network
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]

    def resident(self, data: Dataset | WindowedDataset) -> Any:
        """The dataset in the backend's memory; of windows over series what is cut of them."""
        backend = self.network.backend
        if isinstance(data, WindowedDataset):
            data = data.cut_by(backend.windows())
        return backend.arrays.resident(data)

    def to_learn_from(self, data: Dataset) -> Any:
        """A batch as an update reads it."""
        return self.resident(data)

    def step(
        self,
        theta: Any,
        window: Dataset,
        state: State | None,
        scale: Any,
        noise: NetworkNoise | None = None,
    ) -> tuple[Any, Any, State]:
        """(loss, gradient, state after the window) of the sum of the losses times `scale`.

        No state: the initial one.
        """
        return self._gradient(self.network.pack(theta, noise), window, state, scale, noise)

    def advance(
        self, theta: Any, window: Dataset, state: State | None, noise: NetworkNoise | None = None
    ) -> State:
        """The state after a window in which there is nothing to learn."""
        return self._value(self.network.pack(theta, noise), window, state, noise)[1]

    def value(
        self, theta: Any, data: Any, run: Run = run_here, watch: Watch | None = None
    ) -> float:
        """Mean loss over a dataset, without a tape, in pieces of bounded size.

        `watch` sees the outputs of every piece.
        """
        weights, total = run(self.network.pack, theta), 0.0
        number, to_numpy = self.network.backend.arrays.number, self.network.backend.arrays.to_numpy
        for rows, cuts in pieces(self.network.spec, data):
            state = None
            for start, stop in cuts:
                window, extent = data.cut(start, stop, rows), _extent(start, stop, rows)
                value, state, Y = run(self._value, weights, window, state, extent=extent)
                total += number(value)
                if watch is not None:
                    seen = map(to_numpy, (Y, window.y, window.weight))
                    watch(rows, *seen)
        return total / float(data.total_weight())

    def gradient(
        self, theta: Any, data: Any, k: int | None = None, run: Run = run_here
    ) -> tuple[float, np.ndarray]:
        """Mean loss over a dataset and its gradient, truncated to windows of k steps."""
        weights, arrays = run(self.network.pack, theta), self.network.backend.arrays
        scale = 1.0 / data.total_weight()
        total, gradient = 0.0, np.zeros(theta.size)
        spec = self.network.spec
        taped = spec.hidden_width * spec.num_layers * (k or data.steps())
        for rows in _blocks(data.count, max(1, _TAPED // max(1, taped))):
            state = None
            for start, stop in windows(data.steps(rows), k):
                window, extent = data.cut(start, stop, rows), _extent(start, stop, rows)
                if data.total_weight(start, stop, rows) == 0:
                    _, state, _ = run(self._value, weights, window, state, extent=extent)
                    continue
                given = weights, window, state, scale
                value, part, state = run(self._gradient, *given, extent=extent)
                total += arrays.number(value)
                gradient += arrays.to_numpy(part)
        return total, gradient

    def hessp(
        self, theta: np.ndarray, v: np.ndarray, data: Dataset, run: Run = run_here
    ) -> np.ndarray:
        """The Hessian of the mean loss over a dataset times a vector, float64 (n,): exact.

        It is the derivative of `gradient` along v: Pearlmutter (1994), "Fast exact multiplication
        by the Hessian", Neural Computation 6(1), by forward over reverse differentiation.
        """
        spec = self.network.spec
        weights = run(self.network.tangents.pack, with_tangent(theta, v))
        scale, total = 1.0 / data.total_weight(), np.zeros(theta.size)
        taped = 2 * spec.hidden_width * spec.num_layers * data.steps()
        for rows in _blocks(data.count, max(1, _TAPED // max(1, taped))):
            window = data.cut(0, data.steps(rows), rows)
            if window.total_weight() > 0:
                total += run(self._hvp, weights, window, scale, extent=window.extent)
        return total

    def _hvp(self, weights: Weights, window: Dataset, scale: float) -> np.ndarray:
        """The derivative of the gradient of a window along the tangent of the weights."""
        network = self.network.tangents
        with np.errstate(all="ignore"):  # as for the gradient
            Y, _, tape = network.forward(
                weights,
                with_tangent(window.X, None),
                None,
                window.lengths,
                tape=True,
                last=window.last,
                reset=window.reset,
                static=constant(window.static),
            )
            weight = window.weight * window.weight.dtype.type(scale)
            _, dY = self.loss(Y.real, window.y, weight)
            d2Y = CURVATURES[self.loss](Y.real, window.y, weight, Y.imag)
            gradient: np.ndarray = network.backward(weights, tape, with_tangent(dY, d2Y)).theta.imag
        return gradient

    def _gradient(
        self,
        weights: Weights,
        window: Dataset,
        state: State | None,
        scale: Any,
        noise: NetworkNoise | None = None,
    ) -> tuple[Any, Any, State]:
        network, arrays = self.network, self.network.backend.arrays
        with np.errstate(all="ignore"):  # what is not finite is reported by the caller
            Y, state, tape = network.forward(
                weights,
                window.X,
                state,
                window.lengths,
                tape=True,
                last=window.last,
                reset=window.reset,
                noise=noise,
                static=window.static,
            )
            value, dY = arrays.loss(self.loss, Y, window.y, window.weight, scale)
            gradients = network.backward(weights, tape, dY)
        return value, gradients.theta, state

    def _value(
        self,
        weights: Weights,
        window: Dataset,
        state: State | None,
        noise: NetworkNoise | None = None,
    ) -> tuple[Any, State, Any]:
        """(sum of the losses, state after the window, outputs)."""
        loss = self.network.backend.arrays.loss
        with np.errstate(all="ignore"):
            Y, state, _ = self.network.forward(
                weights,
                window.X,
                state,
                window.lengths,
                last=window.last,
                reset=window.reset,
                noise=noise,
                static=window.static,
            )
            value, _ = loss(self.loss, Y, window.y, window.weight, 1.0)
        return value, state, Y


def _extent(start: int, stop: int, rows: slice) -> int:
    """Number of steps in all of a window."""
    return (stop - start) * int(rows.stop - rows.start)


def _blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
