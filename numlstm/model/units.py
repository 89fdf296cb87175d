"""The units of the data of a model, set by hand."""

from typing import Any

import numpy as np

from numlstm.data.scaling import Scaling
from numlstm.model.base import Model
from numlstm.utils import checks
from numlstm.utils.types import Array


class Units(Model):
    """The part of `numlstm.LSTM` that takes the units of its data."""

    def set_scaling(self, inputs: Any = None, targets: Any = None, static: Any = None) -> None:
        """Set the units of the data, which `predict` reads and gives.

        For a network that was trained elsewhere on standardised data; `fit` sets them by itself.
        Without an argument there are none.

        Parameters
        ----------
        inputs : (mean, scale), or a fitted scaler, optional
            Mean and scale of the features, each a number or of shape (I,); or what has both as
            ``mean_`` and ``scale_``, as the StandardScaler of scikit-learn. The network reads
            (X - mean) / scale. Default: X as it is.
        targets : (mean, scale), or a fitted scaler, optional
            The same of the targets, (O,): a prediction is y * scale + mean. Where the outputs are
            means and log-variances, those of the means. Default: y as it is.
        static : (mean, scale), or a fitted scaler, optional
            The same of the attributes of whole sequences, (S,), of a model that has some.

        Raises
        ------
        ValueError, TypeError
            For another number of features, values that are not finite, and a scale that is not
            above 0.

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
        if inputs is None and targets is None and static is None:
            self.scaling = None
            return
        size, width = self.spec.static_size, self.spec.width
        if static is not None and size is None:
            raise ValueError("static= has units of attributes, of which this model has none")
        features = self.spec.input_size if self.filling is None else self.filling.mean.size
        x_mean, x_scale = _moments("inputs", inputs, features)
        scaling = Scaling(x_mean, x_scale)
        if targets is not None:
            y_mean, y_scale = _moments("targets", targets, _targets(targets, width))
            scaling = scaling._replace(y_mean=y_mean, y_scale=y_scale)
        if size is not None:
            mean, scale = _moments("static", static, size)
            scaling = scaling._replace(static_mean=mean, static_scale=scale)
        scaling.require_fit(features, width, size)
        self.scaling = scaling


def _targets(value: Any, width: int) -> int:
    """The number of targets: half of the outputs, where half of these are log-variances."""
    half, odd = divmod(width, 2)
    shapes = [np.shape(part) for part in _pair("targets", value)]
    return half if (half,) in shapes and not odd else width


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


def _moments(name: str, value: Any, size: int) -> tuple[Array, Array]:
    """Mean and scale, each of shape (size,) and float64."""
    mean, scale = (
        _vector(f"the {what} of {name}", part, size)
        for what, part in zip(("mean", "scale"), _pair(name, value), strict=True)
    )
    if not (scale > 0).all():
        raise ValueError(f"the scale of {name} must be above 0, received {scale.min():g}")
    return mean, scale


def _vector(name: str, value: Any, size: int) -> Array:
    array = checks.array(name, value, "float64")
    if array.shape not in ((), (size,)):
        raise ValueError(f"{name} must be a number or have shape ({size},), received {array.shape}")
    return np.broadcast_to(array, (size,)).copy()
