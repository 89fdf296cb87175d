"""numlstm.ensemble: many networks on the same data, trained side by side in one call per step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init, blocks
from numlstm.architecture.spec import NetworkSpec
from numlstm.data.preparation import Arrays, DataConfig, prepare
from numlstm.data.sequences import Dataset
from numlstm.model.lstm import LSTM
from numlstm.network.network import Network
from numlstm.objectives.evaluator import Evaluator
from numlstm.optim import schedules
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.fit import new_model
from numlstm.training.settings import Settings, Start, TrainingConfig, settle
from numlstm.utils import checks, nouns
from numlstm.utils.nouns import suggesting
from numlstm.utils.random_streams import MEMBERS, SHUFFLE, RandomStreams, new_seed


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained networks, the members, and what they say together; made by `numlstm.ensemble`.

    Attributes
    ----------
    models : sequence of LSTM
        The members.
    history : dict of str to ndarray
        "loss": the training loss of every epoch, (epochs,), the mean over members.
    """

    models: Sequence[LSTM]
    history: dict[str, np.ndarray]

    def predict(
        self, X: Any, *, lengths: Any = None, reset: Any = None, noise_rng: Any = None
    ) -> tuple[Any, Any]:
        """Mean and spread (standard deviation) of the members' predictions.

        Both have the form of `LSTM.predict`, which takes the same arguments.
        """
        each = [
            model.predict(X, lengths=lengths, reset=reset, noise_rng=noise_rng)
            for model in self.models
        ]
        if isinstance(each[0], list):
            parts = [np.stack(part) for part in zip(*each, strict=True)]
            return [part.mean(axis=0) for part in parts], [part.std(axis=0) for part in parts]
        return np.mean(each, axis=0), np.std(each, axis=0)


@suggesting({"cell": Cell, "init": Init}, SYNONYMS)
def ensemble(
    X: Any,
    y: Any = None,
    *,
    members: int = 16,
    bootstrap: bool = True,
    hidden_size: int = 32,
    num_layers: int = 1,
    bidirectional: bool = False,
    residual: bool = False,
    learned_state: bool = False,
    proj_size: int | None = None,
    cell: Cell | Mapping[str, Any] | None = None,
    init: Init | Mapping[str, Any] | None = None,
    output: str | None = None,
    loss: str = "mse",
    sample_weight: Any = None,
    lengths: Any = None,
    reset: Any = None,
    method: str = "adam",
    learning_rate: float | None = None,
    schedule: str | Callable[[int], float] | None = None,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    batch_size: int = 32,
    epochs: int = 100,
    standardize: bool | None = None,
    nan_policy: str = "raise",
    missing: str = "raise",
    rng: Any = None,
    dtype: Any = "float32",
    backend: str = "auto",
    precision: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Ensemble:
    """Train several networks on the same data at once; their spread says how sure they are.

    All members see the same batches. They differ in their initial weights and, with `bootstrap`, in
    how often every sequence counts.

    Parameters
    ----------
    X, y : array_like
        As in `fit`.
    members : int, optional
        How many networks.
    bootstrap : bool, optional
        Every member has a resample of the sequences of its own, drawn with replacement, as weights
        (Efron & Tibshirani 1993, "An introduction to the bootstrap"). False: they differ in their
        initial weights alone (Lakshminarayanan et al. 2017, "Deep ensembles").
    hidden_size, num_layers, bidirectional, residual, learned_state, proj_size, cell, init
        As in `fit`.
    output, loss, sample_weight, lengths, reset, nan_policy, missing, standardize : optional
        As in `fit`.
    method : {"adam", "adamw", "sgd", "rmsprop"}, optional
        One of the stochastic methods.
    learning_rate, schedule, weight_decay, clip, batch_size, epochs, options : optional
        As in `fit`.
    rng : None, int, or numpy.random.Generator, optional
        Source of all randomness.
    dtype, backend, precision : optional
        As in `fit`.

    Returns
    -------
    ensemble : Ensemble
        With ``models``, ``history`` and ``predict(X) -> (mean, spread)``.

    Raises
    ------
    ValueError, TypeError
        As `fit`; and for a single sequence with ``bootstrap=True``, of which there is no
        resample.

    Notes
    -----
    Plain layers on the backend "cpu" train all members in one call of the kernels per layer and
    step, or, where their tapes would not fit the processor's caches, as many as do; with variants,
    and on other backends, the members take turns within a step.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> X = np.random.default_rng(0).standard_normal((20, 10, 1))
    >>> many = numlstm.ensemble(X, np.cumsum(X, axis=1), members=4, epochs=5, rng=0)
    >>> mean, spread = many.predict(X)
    >>> mean.shape, spread.shape, bool((spread > 0).all())
    ((20, 10, 1), (20, 10, 1), True)
    """
    members = checks.size("members", members)
    checks.flag("bootstrap", bootstrap)
    network = NetworkSpec(
        input_size=1,  # the data say how many
        hidden_size=hidden_size,
        num_layers=num_layers,
        dtype=dtype,
        bidirectional=bidirectional,
        residual=residual,
        proj_size=proj_size,
        cell=nouns.read(Cell, "cell", cell),
        learned_state=learned_state,
        precision=precision,
    )
    reading = DataConfig(
        loss=loss,
        output=output,
        nan_policy=nan_policy,
        missing=missing,
        standardize=standardize,
        batch_size=batch_size,
    )
    training = TrainingConfig(
        method=method,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        clip=clip,
        epochs=epochs,
        options=options,
    )
    if not training.stochastic:
        raise ValueError(
            f"ensemble trains with one of {', '.join(OPTIMIZERS)}, received method={method!r}"
        )
    start = Start(nouns.read(Init, "init", init), backend=backend)
    settings = settle(network, start, reading, training)
    arrays = Arrays(X, y, sample_weight, lengths, reset)
    return _trained(arrays, settings, members, bootstrap, rng)


def _trained(
    arrays: Arrays, settings: Settings, members: int, bootstrap: bool, rng: Any
) -> Ensemble:
    data = prepare(arrays, settings.data, settings.dtype)
    count = len(data.train.X)
    if bootstrap and count == 1:
        raise ValueError("bootstrap=True needs several sequences; pass bootstrap=False for one")
    draws = RandomStreams(new_seed(rng))
    stream = draws.stream(MEMBERS)
    models = [
        new_model(data, settings, None, RandomStreams(new_seed(stream))) for _ in range(members)
    ]
    counts = np.ones((members, count), np.int64)
    if bootstrap:
        counts = stream.multinomial(count, np.full(count, 1 / count), members)
    thetas = np.stack([model.theta for model in models])
    evaluator = Evaluator(models[0].network, settings.criterion.function)
    losses = _train(thetas, evaluator, data.train, counts, settings, draws)
    for model, theta in zip(models, thetas, strict=True):
        model.theta = theta
    return Ensemble(models, {"loss": np.array(losses)})


def _train(
    thetas: np.ndarray,
    evaluator: Evaluator,
    train: Dataset,
    counts: np.ndarray,
    settings: Settings,
    draws: RandomStreams,
) -> list[float]:
    """Train the rows of thetas in place; the mean loss of every epoch."""
    training = settings.training
    optimizer = OPTIMIZERS[training.method](
        thetas.size, settings.dtype, training.weight_decay, training.constants
    )
    batched = train.reset is None and _can_batch(evaluator.network)
    step = (_Batched if batched else _InTurn)(evaluator)
    schedule, losses = schedules.get(training.schedule), []
    size = settings.data.batch_size
    for epoch in range(training.epochs):
        order = draws.stream(SHUFFLE, epoch).permutation(len(train.X))
        rate = training.rate * schedule(epoch, training.epochs)
        total = seen = 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            window = train.cut(0, train.steps(rows), rows)
            weight, sums = _weights(window, counts[:, rows])
            value, gradient = step(thetas, window, weight)
            share = float(np.sum(sums))
            total, seen = total + value * share, seen + share
            _clip(gradient, training.clip)
            optimizer.update(thetas.reshape(-1), gradient.reshape(-1), rate)
        losses.append(total / max(seen, 1e-300))
    return losses


def _weights(window: Dataset, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (M, ...) of all targets that sum to 1 for every member, and their sums before."""
    axes = tuple(range(1, window.weight.ndim))
    weight = window.weight * counts.reshape(*counts.shape, *(1,) * len(axes))
    sums = weight.sum(axis=tuple(range(1, weight.ndim)))
    # a member that drew none of these sequences learns nothing from them
    scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    weight *= scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return weight.astype(window.weight.dtype), sums


def _clip(gradient: np.ndarray, limit: float | None) -> None:
    """Shorten every member's gradient to the limit, in place."""
    if limit is not None:
        norms = np.linalg.norm(gradient, axis=1, keepdims=True)
        gradient *= np.minimum(1, limit / np.maximum(norms, 1e-30)).astype(gradient.dtype)


@dataclass(frozen=True)
class _InTurn:
    """One member after the other, for networks that the kernels for members do not know."""

    evaluator: Evaluator

    def __call__(self, thetas, window: Dataset, weight):
        """(mean loss, gradients (M, n))."""
        gradients, total = np.empty_like(thetas), 0.0
        evaluator, arrays = self.evaluator, self.evaluator.network.backend.arrays
        for member, theta in enumerate(thetas):
            part = evaluator.resident(replace(window, weight=weight[member]))
            value, gradient, _ = evaluator.step(theta, part, None, 1.0)
            gradients[member] = arrays.to_numpy(gradient)
            total += arrays.number(value)
        return total / len(thetas), gradients


@dataclass
class _Batched:
    """All members in one call per layer."""

    evaluator: Evaluator

    def __call__(self, thetas, window: Dataset, weight):
        """(mean loss, gradients (M, n))."""
        network, (rows, steps, _) = self.evaluator.network, window.X.shape
        size = network.backend.members().at_once(network.spec.layers, rows, steps)
        gradients, total = np.empty_like(thetas), 0.0
        for first in range(0, len(thetas), size):
            part = slice(first, first + size)
            value, gradients[part] = self._together(thetas[part], window, weight[part])
            total += value
        return total / len(thetas), gradients

    def _together(self, thetas, window: Dataset, weight):
        """(sum of losses, gradients (M, n)) of some members, whose tapes fit the caches."""
        spec, kernels = self.evaluator.network.spec, self.evaluator.network.backend.members()
        *layers, head = (np.ascontiguousarray(part) for part in _blocks(spec, thetas))
        X, tapes = window.X[None], []
        for layer, theta in zip(spec.layers, layers, strict=True):
            X, tape = kernels.forward(layer, theta, X, window.lengths)
            tapes.append(tape)
        hidden = _ends(X, window) if window.last else X
        Y = kernels.head_forward(spec.head, head, hidden)
        target = np.broadcast_to(window.y, (len(thetas), *window.y.shape))
        value, dY = self.evaluator.loss(Y, target, weight)
        gradient, dX = kernels.head_backward(spec.head, head, hidden, dY)
        gradients = [gradient]
        if window.last:
            dX = _from_ends(dX, X.shape, window)
        for index in reversed(range(len(layers))):
            gradient, dX = kernels.backward(
                *(spec.layers[index], layers[index], tapes[index], dX, index > 0)
            )
            gradients.insert(0, gradient)
        return value, np.concatenate(gradients, axis=1)


def _can_batch(network: Network) -> bool:
    """Whether the backend has kernels for many such networks at once."""
    spec, kernels = network.spec, network.backend.members()
    plain = not (spec.bidirectional or spec.residual or spec.head is None)
    return kernels is not None and plain and all(kernels.able(layer) for layer in spec.layers)


def _blocks(spec, thetas):
    """What belongs to each layer, then to the head, of all members."""
    sizes = [part.size for part in blocks(spec, thetas[0])]
    return np.split(thetas, np.cumsum(sizes)[:-1], axis=1)


def _last_steps(window: Dataset) -> np.ndarray:
    rows, steps = window.X.shape[:2]
    return np.full(rows, steps - 1) if window.lengths is None else np.maximum(window.lengths - 1, 0)


def _ends(H, window: Dataset):
    """The hidden state that every row ends with, (M, B, H)."""
    return H[:, np.arange(H.shape[1]), _last_steps(window)]


def _from_ends(dH, shape, window: Dataset):
    """Its gradient at the place where it was read."""
    result = np.zeros(shape, dH.dtype)
    result[:, np.arange(shape[1]), _last_steps(window)] = dH
    return result
