"""Networks from arrays, in any order of the gates."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numlstm.architecture.cell import GATES, UNIT_PARAMETERS, Cell
from numlstm.convert.gate_order import read_order, reordered
from numlstm.convert.tensors import array_of, require_known, require_mapping, with_one_bias
from numlstm.convert.weights import REVERSE_ONLY, Weights, to_model
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, nouns
from numlstm.utils.types import Array

NAME = re.compile(r"(?P<name>[a-z_]+?)_l(?P<level>\d+)(?P<reverse>_reverse)?")
_ROWS = ("weight_ih", "weight_hh", "weight_is", "bias", "bias_ih", "bias_hh", "gain")


def from_arrays(
    arrays: Mapping[str, Any],
    *,
    gate_order: str = "ifgo",
    cell: Cell | Mapping[str, Any] | None = None,
    residual: bool = False,
    output: str = "sequence",
    backend: str = "auto",
) -> LSTM:
    """A network from its arrays, by the names of `LSTM.params`.

    Parameters
    ----------
    arrays : mapping of str to array_like
        ``weight_ih_l0`` (4H, I), ``weight_hh_l0`` (4H, P) and ``bias_l0`` (4H,), or PyTorch's two,
        ``bias_ih_l0`` and ``bias_hh_l0``, per layer, ``_reverse`` behind the names of a reverse
        direction; ``head_weight`` (O, W), ``head_bias`` (O,), of direct connections
        ``head_direct`` (O, I); and what a variant adds. What is
        missing but for the weights is 0, and gains are 1. Layers may have different sizes: the
        model gets as many units as the largest, of which those beyond a layer's own are dead, with
        weights of 0 that stay 0 in training.
    gate_order : str, optional
        The order of the blocks of rows: i, f and o, and for the candidate g, c or j: "ifgo" is that
        of numlstm, PyTorch and Keras, "iofc" of ONNX, "ijfo" of TensorFlow 1. Peepholes have it
        without the candidate. A cell without a forget gate of its own has no f.
    cell : Cell or mapping, optional
        The variant of the cells, as in `LSTM`. Default: the plain one, with peepholes where there
        are some.
    residual : bool, optional
        The second and every further layer adds its output to its input.
    output : {"sequence", "last"}, optional
        What `predict` returns.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network, of the dtype of the arrays: float64 where one of them is, else float32. Its
        units are those of the arrays: `LSTM.set_scaling` gives it others.

    Raises
    ------
    ValueError, TypeError
        For names that no network has, for shapes that do not fit each other, for values that are
        not finite, and for arrays of integers, which stand for quantised weights.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm.convert import from_arrays
    >>> rng = np.random.default_rng(0)
    >>> kernel = rng.standard_normal((3, 32))  # x @ kernel, as in TensorFlow 1: i, j, f, o
    >>> recurrent = rng.standard_normal((8, 32))
    >>> from_arrays(
    ...     {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T},
    ...     gate_order="ijfo",
    ...     backend="reference",
    ... )
    <LSTM: 3 inputs, 1 layer of 8 units, no head; 384 parameters, float64, reference backend>
    """
    own = nouns.read(Cell, "cell", cell)
    if cell is None and any(str(name).startswith("peephole_l") for name in arrays):
        own = replace(own, peephole=True)
    weights = read_named(arrays, own, gate_order)
    output = checks.choice("output", output, ("sequence", "last"))
    residual = checks.flag("residual", residual)
    return to_model(replace(weights, residual=residual, output=output), backend)


def read_named(arrays: Mapping[Any, Any], cell: Cell, gate_order: str = "ifgo") -> Weights:
    """Weights from arrays by the names of `LSTM.params`, or with PyTorch's two biases."""
    require_mapping("arrays", arrays)
    order = read_order(gate_order, cell)
    layers: dict[tuple[int, bool], dict[str, Array]] = {}
    head: dict[str, Array] = {}
    for name, value in arrays.items():
        if name in ("head_weight", "head_bias", "head_direct"):
            head[name.removeprefix("head_")] = array_of(name, value)
            continue
        found = NAME.fullmatch(name) if isinstance(name, str) else None
        if found is None:
            raise _unknown(name)
        place = int(found["level"]), bool(found["reverse"])
        layers.setdefault(place, {})[found["name"]] = value
    directions = _directions(list(layers))
    named = [_ordered(layers[place], cell, order) for place in sorted(layers)]
    return Weights(named, head or None, directions=directions, cell=cell)


def _unknown(name: Any) -> Exception:
    require_known(name)
    return ValueError(
        f"arrays has {checks.shown(name)}, which is no name of a parameter: write weight_ih_l0, "
        "weight_hh_l0, bias_l0, with _reverse for a reverse direction, head_weight, head_bias"
    )


def _directions(places: list[tuple[int, bool]]) -> int:
    """1 or 2, of layers that are all there."""
    levels = sorted({level for level, _ in places})
    if levels != list(range(len(levels))) or not levels:
        raise ValueError(f"layers must be numbered from 0 without a gap, received {levels}")
    found = {level: {reverse for at, reverse in places if at == level} for level in levels}
    if all(own == {True} for own in found.values()):
        raise ValueError(REVERSE_ONLY)
    counts = {len(own) for own in found.values()}
    if len(counts) > 1 or any(False not in own for own in found.values()):
        raise ValueError("either all layers have a reverse direction, or none")
    return len(found[0])


def _ordered(layer: Mapping[str, Any], cell: Cell, order: str) -> dict[str, Array]:
    """A layer with its rows in numlstm's order, and one bias."""
    wanted = "".join(cell.gates)
    blocks = {p.name: (p.gates, order, wanted) for p in UNIT_PARAMETERS if p.present(cell)}
    blocks |= dict.fromkeys(_ROWS, (GATES, order, wanted))
    named = {}
    for name, value in layer.items():
        require_known(name)
        array = array_of(name, value)
        gates, own, ours = blocks.get(name, ((), "", ""))
        if gates:
            own = "".join(gate for gate in own if gate in gates)
            ours = "".join(gate for gate in ours if gate in gates)
            array = _in_blocks(name, array, own, ours)
        named[name] = array
    return with_one_bias(named)


def _in_blocks(name: str, array: Array, order: str, wanted: str) -> Array:
    if not array.ndim or array.shape[0] % len(order):
        raise ValueError(
            f"{name} must have blocks of rows for the gates {', '.join(order)}, received "
            f"shape {array.shape}"
        )
    return reordered(array, order, wanted)
