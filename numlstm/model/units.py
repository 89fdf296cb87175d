"""The units of the data of a model, set by hand."""

from typing import Any

import numpy as np

from numlstm.data.labels import vectors
from numlstm.data.scaling import Scaling
from numlstm.model.base import Model
from numlstm.utils import checks
from numlstm.utils.types import Array


class Units(Model):
    """The part of `numlstm.LSTM` that takes the units of its data."""

    def set_scaling(
        self,
        inputs: Any = None,
        targets: Any = None,
        static: Any = None,
        *,
        variance: bool | None = None,
    ) -> None:
        """Set the units of the data, which `predict` reads and gives.

        For a network that was trained elsewhere on standardised data; `fit` sets them by itself.
        Without an argument there are none.

        Parameters
        ----------
        inputs : (mean, scale), or a fitted scaler, optional
            Mean and scale of the features, each a number or of shape (I,); or what has both as
            ``mean_`` and ``scale_``, as the StandardScaler of scikit-learn. The network reads
            (X - mean) / scale. Where the model has names of features, numbers with names, as of a
            Series or of a scaler of a frame, are put in their order. Default: X as it is.
        targets : (mean, scale), or a fitted scaler, optional
            The same of the targets, (O,): a prediction is y * scale + mean. Default: y as it is.
        static : (mean, scale), or a fitted scaler, optional
            The same of the attributes of whole sequences, (S,), of a model that has some.
        variance : bool, optional
            Whether the second half of the outputs are log-variances, as of the loss "gaussian_nll";
            the targets are then those of the means, (O / 2,). Default: what the scaling of the
            model says, if it has one, else False.

        Raises
        ------
        ValueError, TypeError
            For another number of features or other names, values that are not finite, and a scale
            that is not above 0.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(2, 4, 1, dtype="float64", rng=0, backend="reference")
        >>> X = np.random.default_rng(0).normal(10.0, 3.0, (5, 20, 2))
        >>> Y, _ = model.forward((X - 10.0) / 3.0)
        >>> model.set_scaling(inputs=(10.0, 3.0), targets=(5.0, 2.0))
        >>> bool((model.predict(X) == Y * 2.0 + 5.0).all())
        True
        """
        variance = self._has_variance() if variance is None else checks.flag("variance", variance)
        if inputs is None and targets is None and static is None:
            self.scaling = None
            return
        size, width = self.spec.static_size, self.spec.width
        if static is not None and size is None:
            raise ValueError("static= has units of attributes, of which this model has none")
        features = self.spec.input_size if self.filling is None else self.filling.mean.size
        x_mean, x_scale = _moments("inputs", inputs, features, self.names.features)
        scaling = Scaling(x_mean, x_scale)
        if targets is not None:
            count = _targets(width, variance)
            y_mean, y_scale = _moments("targets", targets, count, self.names.targets)
            scaling = scaling._replace(y_mean=y_mean, y_scale=y_scale)
        if size is not None:
            mean, scale = _moments("static", static, size, self.names.static)
            scaling = scaling._replace(static_mean=mean, static_scale=scale)
        scaling.require_fit(features, width, size)
        self.scaling = scaling

    def _has_variance(self) -> bool:
        """Whether the units that the model has are of half of its outputs."""
        y_mean = None if self.scaling is None else self.scaling.y_mean
        return y_mean is not None and y_mean.size < self.spec.width


def _targets(width: int, variance: bool) -> int:
    """The number of targets: half of the outputs, where half of these are log-variances."""
    if variance and width % 2:
        raise ValueError(f"variance=True needs two outputs for each target, and there are {width}")
    return width // 2 if variance else width


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    """Mean and scale, given as such or by a scaler, which has None for what it leaves."""
    if value is None:
        return 0.0, 1.0
    if hasattr(value, "mean_") and hasattr(value, "scale_"):
        mean, scale = value.mean_, value.scale_
        return 0.0 if mean is None else mean, 1.0 if scale is None else scale
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(
            f"{name} must be a pair (mean, scale), or a scaler with mean_ and scale_, received "
            f"{checks.shown(value)}"
        )
    return value[0], value[1]


def _moments(
    name: str, value: Any, size: int, names: tuple[str, ...] | None
) -> tuple[Array, Array]:
    """Mean and scale, each of shape (size,) and float64, in the order of the names."""
    parts = [
        _with_names(part, getattr(value, "feature_names_in_", None)) for part in _pair(name, value)
    ]
    wanted = _wanted(name, parts, size, names)
    mean, scale = (
        _vector(
            f"the {what} of {name}", vectors.in_order(f"the {what} of {name}", part, wanted), size
        )
        for what, part in zip(("mean", "scale"), parts, strict=True)
    )
    if not (scale > 0).all():
        raise ValueError(f"the scale of {name} must be above 0, received {scale.min():g}")
    return mean, scale


def _wanted(
    name: str, parts: list[Any], size: int, names: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """The names in the order in which numbers are read: the model's, else those of the first."""
    given = next(filter(None, map(vectors.names_of, parts)), None)
    if names is None or len(names) == size:
        return names or given
    if given is not None:
        raise ValueError(
            f"{name} has names, and the model has some for {len(names)} of the {size} numbers "
            "alone: pass arrays, in the order in which the network reads and gives them"
        )
    return None


def _with_names(values: Any, names: Any) -> Any:
    """Numbers with the names that a scaler has for them."""
    if names is None or np.ndim(values) != 1 or len(names) != len(values):
        return values
    return dict(zip(map(str, names), values, strict=True))


def _vector(name: str, value: Any, size: int) -> Array:
    array = checks.array(name, value, "float64")
    if array.shape not in ((), (size,)):
        hint = ""
        if name.endswith("targets") and array.shape == (size / 2,):
            hint = "; where the other half of the outputs are log-variances, variance=True says so"
        raise ValueError(
            f"{name} must be a number or have shape ({size},), received {array.shape}{hint}"
        )
    return np.broadcast_to(array, (size,)).copy()
