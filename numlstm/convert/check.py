"""The check of a conversion: the network here and its counterpart, of a fixed random batch."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.convert.counterpart import MissingPackage
from numlstm.data.missing import network_inputs
from numlstm.model.lstm import LSTM
from numlstm.utils import notices
from numlstm.utils.types import Array

_ROWS, _STEPS = 3, 7
_ALLOWANCE = 4  # by how often the difference may be that of moving the parameters by an ulp
_BARS = {"float32": 2e-5, "float64": 1e-10}  # of a difference, relative in L2


class Outputs(NamedTuple):
    """Outputs and final states of a batch; states by layer, forward before reverse, where known."""

    Y: Any  # (B, T, O), or (B, O) of a model with output="last", in the units of the data
    h: Sequence[Any] | None = None  # each (B, P)
    c: Sequence[Any] | None = None  # each (B, H)


def verify(
    model: LSTM,
    counterpart: str,
    run: Callable[[Array], Outputs],
    *,
    precision: str | None = None,
    rows: int = _ROWS,
    steps: int = _STEPS,
) -> None:
    """Raise RuntimeError where `run`, the counterpart's, gives something else of a batch X.

    X is (B, T, I), in the dtype of the model and in the units of the data; of a model that fills
    missing inputs it is filled, with mask channels. `precision` is that of the counterpart, where
    it is less than the model's. Where `run` raises `MissingPackage` the check could not be made,
    which a warning says.
    """
    X = _batch(model, rows, steps)
    try:
        theirs = run(network_inputs(X, model.filling, None, model.spec.dtype))
    except MissingPackage as error:
        notices.warn(
            f"the conversion was not checked against {counterpart}: {error}; check=False does "
            "without"
        )
        return
    ours = _of_twin(model, _twin(model), X)
    bar = _BARS[precision or model.spec.dtype] + _lost(model)
    theirs = theirs._replace(Y=_in_units(model, theirs.Y))
    try:
        _require_all_near(bar, counterpart, ours, theirs)
    except RuntimeError:  # rounding does more in a network that is ill-conditioned
        nudged = [_of_twin(model, _nudged(_twin(model), seed), X) for seed in range(4)]
        _require_all_near(bar, counterpart, ours, theirs, nudged)


def _require_all_near(
    bar: float, counterpart: str, ours: Outputs, theirs: Outputs, nudged: Sequence[Outputs] = ()
) -> None:
    """Compare outputs and states; `nudged` are ours of parameters that are rounded otherwise."""
    _require_near(bar, counterpart, "outputs", ours.Y, theirs.Y, [one.Y for one in nudged])
    for name in ("h", "c"):
        states = getattr(theirs, name)
        if states is None:
            continue
        for layer, (own, other) in enumerate(zip(getattr(ours, name), states, strict=True)):
            other = np.asarray(other)
            width = other.shape[1]  # the counterpart may lack the dead units
            moved = [getattr(one, name)[layer][:, :width] for one in nudged]
            _require_near(bar, counterpart, f"states {name}", own[:, :width], other, moved)


def agrees(model: LSTM, run: Callable[[Array], Iterable[Array]]) -> bool | None:
    """Whether one of the results of `run` is the outputs of all steps, or of the last one.

    None where no result has the shape of either.
    """
    X, twin = _batch(model, _ROWS, _STEPS), _twin(model)
    steps = twin.predict(X, output="sequence")
    last = twin.predict(X) if model.output == "last" else steps[:, -1]
    found = None
    for theirs in run(X):
        for ours in steps, last:
            if theirs.shape in (ours.shape, ours.shape[:-1]) and theirs.size == ours.size:
                apart = np.linalg.norm(ours.ravel() - theirs.ravel())
                if apart <= _BARS[model.spec.dtype] * np.linalg.norm(ours):
                    return True
                found = False
                break
    return found


def distance(model: LSTM, other: LSTM) -> float:
    """By how much another network of the same data differs, in spreads of the targets.

    Of outputs without units, or of large ones, in their own size.
    """
    X = _batch(model, _ROWS, _STEPS)
    ours = _of_twin(model, _twin(model), X).Y
    X = network_inputs(X, model.filling, None, model.spec.dtype)
    theirs = _in_units(model, other.predict(X.astype(np.float64)))
    size = max(1.0, float(np.sqrt(np.mean(np.square(ours)))))
    return float(np.abs(ours - theirs).max()) / size


def _batch(model: LSTM, rows: int, steps: int) -> Array:
    """Inputs in the units of the data; a model that fills missing ones gets some of these."""
    features = model.spec.input_size if model.filling is None else model.filling.mean.size
    rng = np.random.default_rng(1997)
    X = rng.standard_normal((rows, steps, features))
    if model.scaling is not None:
        X = X * model.scaling.x_scale + model.scaling.x_mean
    X = X.astype("float32").astype(model.spec.dtype)  # as some round all inputs
    if model.filling is not None:
        X[rng.random(X.shape) < 0.3] = np.nan
    return X


def _of_twin(model: LSTM, twin: LSTM, X: Array) -> Outputs:
    """By the definition in NumPy, which compiles nothing."""
    inputs = network_inputs(X, twin.filling, twin.scaling, twin.spec.dtype)
    Y = _in_units(model, twin.predict(X.astype(np.float64)))
    return Outputs(Y, *twin.forward(inputs)[1])


def _nudged(twin: LSTM, seed: int) -> LSTM:
    """With every parameter moved by less than an ulp or two."""
    noise = np.random.default_rng(seed).uniform(-1, 1, twin.theta.size)
    twin.theta[...] = twin.theta * (1 + noise * np.finfo(twin.theta.dtype).eps)
    return twin


def _twin(model: LSTM) -> LSTM:
    """The same model on the reference backend, without windows, of which others know nothing."""
    spec = dataclasses.replace(model.spec, precision=None)
    twin = LSTM.from_spec(spec, "reference", model.theta.copy())
    twin.scaling, twin.filling, twin.output = model.scaling, model.filling, model.output
    return twin


def _in_units(model: LSTM, outputs: Any) -> Array:
    """Outputs in the network's units, where a number of 1 is not small."""
    Y: Array = np.asarray(outputs).astype(np.float64)
    if model.scaling is None or Y.shape[-1] != model.spec.width:
        return Y
    factor, offset = model.scaling.of_outputs(model.spec.width)
    scaled: Array = (Y - offset) / factor
    return scaled


def _lost(model: LSTM) -> float:
    """The loss by rounding in the units of the data, in the network's."""
    if model.scaling is None:
        return 0.0
    x_mean, x_scale, y_mean, y_scale = model.scaling
    ratio = np.abs(x_mean / x_scale).max()
    if y_mean is not None and y_scale is not None:
        ratio = max(ratio, np.abs(y_mean / y_scale).max())
    return float(ratio * np.finfo(model.spec.dtype).eps)


def _require_near(
    bar: float, counterpart: str, what: str, ours: Array, theirs: Array, nudged: Sequence[Array]
) -> None:
    if ours.shape != theirs.shape:
        raise RuntimeError(
            f"the {what} of {counterpart} have shape {theirs.shape}, and those of numlstm "
            f"{ours.shape}: the network computes something else there"
        )
    size = np.linalg.norm(ours) + 1e-3 * np.sqrt(ours.size)
    apart = np.linalg.norm(ours - theirs) / size
    moved = [float(np.linalg.norm(ours - one) / size) for one in nudged]
    bar = bar + _ALLOWANCE * max(moved, default=0.0)
    if not apart <= bar:
        raise RuntimeError(
            f"the {what} of {counterpart} and of numlstm differ by {apart:.1e}, relative in L2, "
            f"more than rounding does, {bar:g}: the network computes something there that was not "
            "converted; check=False converts it all the same"
        )
