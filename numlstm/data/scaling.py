"""Standardisation: the units of the data outside, zero mean and unit variance inside.

Data have the precision in which they were given until they are standardised: what lies in their
digits is then in the network's units, where float32 has room for it.
"""

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from numlstm.data import labels
from numlstm.utils import checks, schema
from numlstm.utils.types import Array

# what to do about numbers that are too large for the network's dtype
REMEDY = "fit with standardize=True, or with dtype='float64'"


Moments = tuple[Array, Array]  # mean and standard deviation of every column


class _Moments(NamedTuple):
    x_mean: Array
    x_scale: Array
    y_mean: Array | None = None
    y_scale: Array | None = None


class Scaling(_Moments):
    """Mean and scale of every input feature and, for regression, of every target.

    Attributes
    ----------
    x_mean, x_scale : ndarray, shape (I,)
        Mean and standard deviation of the inputs, float64.
    y_mean, y_scale : ndarray, shape (O,), or None
        The same of the targets; None where targets have no unit (classes).
    static_mean, static_scale : ndarray, shape (S,), or None
        The same of the attributes of whole sequences, by keyword; None where there are none. They
        are no entries of the tuple, which has the four others.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm.data.scaling import Scaling
    >>> scaling = Scaling(np.array([10.0]), np.array([2.0]), np.array([5.0]), np.array([3.0]))
    >>> float(scaling.inputs([[14.0]])[0, 0]), float(scaling.outputs(np.array([[2.0]]))[0, 0])
    (2.0, 11.0)
    """

    # all names, as files and `_asdict` know them; entries are the first four
    _fields = (*_Moments._fields, "static_mean", "static_scale")  # type: ignore[assignment]
    _field_defaults: ClassVar = dict.fromkeys(_fields[2:])  # type: ignore[misc]

    static_mean: Array | None
    static_scale: Array | None

    def __new__(
        cls,
        x_mean: Array,
        x_scale: Array,
        y_mean: Array | None = None,
        y_scale: Array | None = None,
        *,
        static_mean: Array | None = None,
        static_scale: Array | None = None,
    ) -> Self:
        """A tuple of the first four."""
        made = super().__new__(cls, x_mean, x_scale, y_mean, y_scale)
        made.static_mean, made.static_scale = static_mean, static_scale
        return made

    def _asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fields}

    def _replace(self, **changes: Any) -> Self:
        return type(self)(**{**self._asdict(), **changes})

    def require_fit(self, features: int, outputs: int, static: int | None = None) -> None:
        """Refuse invalid units, and those of other numbers of features, targets and attributes."""
        schema.vector("scaling.x_mean", self.x_mean, (features,))
        schema.vector("scaling.x_scale", self.x_scale, (features,), above=0.0)
        if self.static_mean is not None or self.static_scale is not None:
            schema.vector("scaling.static_mean", self.static_mean, (static or 0,))
            schema.vector("scaling.static_scale", self.static_scale, (static or 0,), above=0.0)
        if self.y_mean is None and self.y_scale is None:
            return
        # the outputs of a loss with a variance are the means, then the log-variances
        targets = (outputs,) if outputs % 2 else (outputs, outputs // 2)
        schema.vector("scaling.y_mean", self.y_mean, targets)
        assert self.y_mean is not None
        schema.vector("scaling.y_scale", self.y_scale, (self.y_mean.size,), above=0.0)

    def inputs(self, X: Any, dtype: str | None = None) -> Array:
        """Standardise inputs: (X - mean) / scale, computed in float64.

        Parameters
        ----------
        X : array_like, shape (..., I)
            Inputs in the units of the data.
        dtype : str, optional
            Of the result. Default: that of X, float64 for what is not float32.

        Returns
        -------
        standardised : ndarray, shape (..., I)
            The same in the network's units.
        """
        return _standardised("X", X, (self.x_mean, self.x_scale), dtype)

    def attributes(self, static: Any, dtype: str | None = None) -> Array:
        """Standardise attributes of whole sequences, as `inputs` does the features.

        Parameters
        ----------
        static : array_like, shape (..., S)
            Attributes in the units of the data.
        dtype : str, optional
            Of the result. Default: that of `static`, float64 for what is not float32.

        Returns
        -------
        standardised : ndarray, shape (..., S)
            The same in the network's units.
        """
        units = None
        if self.static_mean is not None and self.static_scale is not None:
            units = self.static_mean, self.static_scale
        return _standardised("static", static, units, dtype)

    def targets(self, y: Array, dtype: str | None = None) -> Array:
        """Targets y (..., O) in the network's units, in `dtype` or that of y."""
        if self.y_mean is None:
            return y if dtype is None else y.astype(dtype, copy=False)
        return ((y - self.y_mean) / self.y_scale).astype(dtype or y.dtype)

    def outputs(self, Y: Array) -> Array:
        """Convert outputs of the network to the units of the targets.

        Twice as many outputs as targets are the means, then the log-variances.

        Parameters
        ----------
        Y : ndarray, shape (..., O)
            Outputs in the network's units.

        Returns
        -------
        converted : ndarray, shape (..., O)
            The same in the units of the targets, float64; Y itself where targets have no unit.
        """
        if self.y_mean is None:
            return Y
        factor, offset = self.of_outputs(Y.shape[-1])
        return Y * factor + offset

    def is_near(self, other: "Scaling") -> bool:
        """Whether both are the same but for rounding."""
        (mean, scale), (mean_2, scale_2) = self._joined(), other._joined()
        if mean.shape != mean_2.shape:
            return False
        apart = np.maximum(np.abs(mean - mean_2), np.abs(scale - scale_2))
        return bool((apart <= 1e-6 * scale).all())

    def _joined(self) -> tuple[Array, Array]:
        """Means and scales, of inputs, then of targets and of attributes."""
        means = [self.x_mean, self.y_mean, self.static_mean]
        scales = [self.x_scale, self.y_scale, self.static_scale]
        mean, scale = (
            np.concatenate([part for part in parts if part is not None])
            for parts in (means, scales)
        )
        return mean, scale

    def one_unit(self) -> bool:
        """Whether the targets have the units of the first inputs."""
        if self.y_mean is None or self.y_scale is None:
            return False
        pairs = (self.x_mean, self.y_mean), (self.x_scale, self.y_scale)
        return all(np.array_equal(x[: y.size], y) for x, y in pairs)

    def of_outputs(self, width: int) -> tuple[Array, Array]:
        """Factor and offset of each of `width` outputs, float64: the factor first.

        Log-variances, behind the means, are only moved.
        """
        factor, offset = np.ones(width), np.zeros(width)
        if self.y_mean is not None and self.y_scale is not None:
            targets = self.y_mean.size
            factor[:targets], offset[:targets] = self.y_scale, self.y_mean
            if width > targets:
                offset[targets:] = 2.0 * np.log(self.y_scale)
        return factor, offset


def _standardised(
    name: str, value: Any, units: tuple[Array, Array] | None, dtype: str | None
) -> Array:
    """An array without labels less the mean, over the scale, computed in float64; in a dtype."""
    labels.require_plain(name, value)
    values: Array = checks.array(name, value, None, finite=False)
    standardised = values if units is None else (values - units[0]) / units[1]
    return standardised.astype(dtype or values.dtype)


_ENDS = (np.min, np.inf), (np.max, -np.inf)


def power_of_two(values: Array) -> Array:
    """Powers of two of the size of values: in these as units no digit of anything changes."""
    _, exponent = np.frexp(values)
    power: Array = np.ldexp(np.float64(1), exponent - 1)
    return power


def is_rounding(spread: Array, mean: Array) -> Array:
    """Whether a spread is what rounding leaves of a constant, some ulps of its value.

    Of float64's, in which all of this is computed; whole numbers are not rounded.
    """
    small: Array = spread <= 4 * np.finfo(np.float64).eps * np.abs(mean)
    return small


def moments(values: Array, valid: Array, weight: Array | None = None) -> Moments:
    """Mean and standard deviation over the valid entries of `values` (..., N), each (N,).

    An entry of weight w counts as w equal ones; of weights, which broadcast to `values`, the ratios
    count alone. None: all are 1.

    In two passes, as Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance",
    The American Statistician 37(3). A constant feature, or one without a valid entry, gets scale 1.
    """
    axes = tuple(range(values.ndim - 1))
    if weight is not None:
        valid = valid & (weight > 0)
        largest = np.max(np.broadcast_to(weight, valid.shape), axis=axes, where=valid, initial=0.0)
        with np.errstate(over="ignore"):  # of entries that are not valid, as below
            weight = weight / np.where(largest > 0, largest, 1.0)  # no sum overflows, none is 0
    shares = valid if weight is None else np.where(valid, weight, 0.0)
    count = np.maximum(np.sum(shares, axis=axes), 1)

    def unit(array: Array) -> Array:
        """Of the size of the largest entry: in it no sum or square overflows."""
        return power_of_two(np.max(np.abs(array), axis=axes, where=valid, initial=0.0))

    def average(array: Array) -> Array:
        array = array if weight is None else array * shares
        mean: Array = np.sum(array, axis=axes, where=valid, dtype=np.float64) / count
        return mean

    size = unit(values)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values / size
        mean = average(scaled)
        mean += average(scaled - mean)  # what rounding left in the sum of many values
        scaled -= mean
        spread = unit(scaled)
        scale = spread * np.sqrt(average(np.square(scaled / spread)))
    constant = is_rounding(scale, mean)
    if constant.any():  # whole numbers are not rounded
        ends = (f(values, axis=axes, where=valid, initial=i) for f, i in _ENDS)
        whole = np.all(np.rint(values) == values, axis=axes, where=valid)
        constant &= ~(whole & np.less(*ends))
    return mean * size, np.where(constant, 1.0, scale * size)
