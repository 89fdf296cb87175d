"""What an explanation says: how much of a prediction every input brought."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels import Frame, Grid, Labelled, Names, Panel, Several
from numlstm.data.labels.axes import Axis
from numlstm.data.sequences import Form
from numlstm.utils import optional
from numlstm.utils.types import Array


class LagImportance(NamedTuple):
    """How much inputs so many steps ago matter.

    Attributes
    ----------
    lags : ndarray, shape (L,)
        Steps back from the one that is explained, from 0 on; below 0 those after it, which a
        bidirectional network reads too.
    values : ndarray, shape (L, I)
        Mean of the absolute attributions over all sequences that reach so far.
    features : tuple of str, or None
        Names of the I features.
    """

    lags: Array
    values: Array
    features: tuple[str, ...] | None


class _Fields(NamedTuple):
    values: Array
    prediction: Array
    baseline_prediction: Array
    completeness_error: Array
    baseline: Array
    steps: Array
    start: Array
    stop: Array
    output: str
    features: tuple[str, ...] | None
    static: Array | None
    future: Array | None


class Attribution(_Fields):
    """Attributions of one output at one step of every sequence, in the units of the prediction.

    Made by the functions of `numlstm.inspection`; its arrays are read-only.

    Attributes
    ----------
    values : ndarray, shape (B, T, I)
        What every input brought to the prediction, compared with the baseline, float64. Zero where
        nothing is read: in the padding, after the step of a causal network, before its window. A
        feature's own number and, where missing values are filled, whether it was observed, count
        as one.
    prediction, baseline_prediction : ndarray, shape (B,)
        What was explained, as `numlstm.LSTM.predict` gives it, or a probability; and the same for
        the baseline.
    completeness_error : ndarray, shape (B,)
        The sum of all attributions of a sequence, less the difference of both predictions.
    baseline : ndarray, shape (B, T, I)
        The inputs that these are compared with, in the units of the data.
    steps : ndarray, shape (B,)
        The step of each sequence that is explained.
    start, stop : ndarray, shape (B,)
        Inputs are read from the step `start` of a sequence to before `stop`.
    output : str
        What is explained, by name.
    features : tuple of str, or None
        Names of the I features.
    static : ndarray, shape (B, S), or None
        Attributions of the attributes of a sequence.
    future : ndarray, shape (B, N, F), or None
        Attributions of the features that are known ahead.
    attributes, known_ahead : tuple of str, or None
        Names of the S attributes, and of the F features that are known ahead.
    """

    attributes: tuple[str, ...] | None = None
    known_ahead: tuple[str, ...] | None = None
    _given: Labelled | None = None  # with the labels of X
    _form: Form | None = None

    @classmethod
    def of(cls, fields: Any, given: Labelled, form: Form, names: Names) -> "Attribution":
        """Internal: of inputs with these labels, in this form; nobody may write into the arrays."""
        made = cls(*fields)
        made.attributes, made.known_ahead = names.static, names.future
        made._given, made._form = given, form
        for value in made:
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
        return made

    def _replace(self, **fields: Any) -> "Attribution":
        """With other arrays, and the same labels."""
        made = super()._replace(**fields)
        made._given, made._form = self._given, self._form
        return made

    def __repr__(self) -> str:
        """What is explained, and how complete that is."""
        rows, steps, features = self.values.shape
        error = np.abs(self.completeness_error).max(initial=0.0)
        return (
            f"<Attribution of {self.output}: {rows} sequence(s), {steps} steps, {features} "
            f"feature(s); completeness error up to {error:.2g}>"
        )

    def like_inputs(self) -> Any:
        """The attributions in the form of X.

        Returns
        -------
        values : ndarray, frame, DataArray or list
            One number for each of X: a frame with the index and the columns of X, in their order,
            for a frame, a DataArray with its coordinates, whose last dimension, "target", has the
            features, for a DataArray, a list for a list, (T, I) for one series.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> from numlstm import inspection
        >>> model = numlstm.LSTM(2, 4, 1, rng=0)
        >>> inspection.gradient_x_input(model, np.ones((5, 2))).like_inputs().shape
        (5, 2)
        """
        values = self.values.copy()
        if self._given is None or self._form is None:
            return values
        names = self.features or self._numbered("x")
        return _restored(self._given, self._form.restore(values), names)

    def to_xarray(self) -> Any:
        """Everything as a `xarray.Dataset`, with names where the data have some.

        Returns
        -------
        dataset : xarray.Dataset
            Variables `attribution` and `baseline` over (sequence, time, feature), `prediction`,
            `baseline_prediction`, `completeness_error`, `step`, `start` and `stop` over sequence
            and, where there are some, `static` over (sequence, attribute) and `future` over
            (sequence, time_ahead, feature_ahead). The times of a single series, or of a DataArray,
            are those of its labels, in UTC where they have a time zone; else steps are counted.

        Raises
        ------
        ImportError
            Where xarray is not installed.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> from numlstm import inspection
        >>> model = numlstm.LSTM(2, 4, 1, rng=0)
        >>> found = inspection.gradient_x_input(model, np.ones((3, 5, 2)))
        >>> dict(found.to_xarray().sizes)
        {'sequence': 3, 'time': 5, 'feature': 2}
        """
        xarray = optional.require(
            "xarray", "xarray", "to_xarray, unlike `values` and `like_inputs`,"
        )
        variables = {
            "attribution": (("sequence", "time", "feature"), self.values),
            "baseline": (("sequence", "time", "feature"), self.baseline),
            "prediction": ("sequence", self.prediction),
            "baseline_prediction": ("sequence", self.baseline_prediction),
            "completeness_error": ("sequence", self.completeness_error),
            "step": ("sequence", self.steps),
            "start": ("sequence", self.start),
            "stop": ("sequence", self.stop),
        }
        if self.static is not None:
            variables["static"] = ("sequence", "attribute"), self.static
        if self.future is not None:
            variables["future"] = ("sequence", "time_ahead", "feature_ahead"), self.future
        attrs = {"output": self.output}
        return xarray.Dataset(variables, coords=self._coordinates(), attrs=attrs)

    def _coordinates(self) -> dict[str, Any]:
        """Labels of the axes, where the data have them."""
        found: dict[str, Any] = {"feature": list(self.features or self._numbered("x"))}
        if self.static is not None and self.attributes is not None:
            found["attribute"] = list(self.attributes)
        if self.future is not None and self.known_ahead is not None:
            found["feature_ahead"] = list(self.known_ahead)
        given = self._given
        rows, steps, _ = self.values.shape
        if given is None:
            return found
        if given.series is not None and len(given.series) == rows:
            found["sequence"] = given.series.labels
        time = _times(given)
        if time is not None and len(time) == steps:
            found["time"] = "time", time.labels, time.attrs
        return found

    def _numbered(self, letter: str) -> tuple[str, ...]:
        return tuple(f"{letter}{index}" for index in range(self.values.shape[2]))


def _restored(given: Labelled, values: Any, names: tuple[str, ...]) -> Any:
    """Values with the labels of X, their features in the order of X, of a list of each series."""
    if isinstance(given, Several) and not isinstance(given, Panel):
        pairs = zip(given.items, values, strict=True)
        return [_restored(item, part, names) for item, part in pairs]
    shown = given.shown
    if shown is not None and shown != names and set(shown) == set(names):
        places, names = [names.index(name) for name in shown], shown
        is_list = isinstance(values, list)
        values = [part[:, places] for part in values] if is_list else values[..., places]
    return given.restore(values, Names(targets=names))


def _times(given: Labelled) -> Axis | None:
    """The labels of the steps that all sequences share."""
    if isinstance(given, Grid):
        return given.time
    return given.axes[0] if isinstance(given, Frame) and given.axes else None


def lag_importance(attribution: Attribution) -> LagImportance:
    """How much inputs of so many steps ago matter: mean absolute attributions, lag by lag.

    Parameters
    ----------
    attribution : Attribution
        Of any number of sequences, from `integrated_gradients` or `gradient_x_input`. Many
        sequences, or many steps of one, say what a network does in general.

    Returns
    -------
    importance : LagImportance
        ``(lags, values, features)``: lags (L,), and values (L, I) in the units of the prediction.

    Raises
    ------
    TypeError
        For anything else than an Attribution.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> X = np.random.default_rng(0).standard_normal((8, 20, 1))
    >>> y = np.zeros_like(X)
    >>> y[:, 3:] = X[:, :-3]                     # the input of three steps ago
    >>> model = numlstm.fit(X, y, hidden_size=8, epochs=300, rng=0).model
    >>> found = inspection.integrated_gradients(model, X, num_steps=16)
    >>> int(inspection.lag_importance(found).values[:, 0].argmax())
    3
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(
            "attribution must be what integrated_gradients or gradient_x_input returned, received "
            f"{type(attribution).__name__}"
        )
    steps, start, stop = attribution.steps, attribution.start, attribution.stop
    if not steps.size:
        lags = np.arange(0)
    else:
        lags = np.arange(int((steps - stop + 1).min()), int((steps - start).max()) + 1)
    t = steps[:, None] - lags
    there = (t >= start[:, None]) & (t < stop[:, None])
    rows = np.arange(len(steps))[:, None]
    found = np.abs(attribution.values[rows, np.where(there, t, 0)])
    count = np.maximum(there.sum(axis=0), 1)[:, None]
    mean = np.where(there[..., None], found, 0.0).sum(axis=0) / count
    return LagImportance(lags, mean, attribution.features)
