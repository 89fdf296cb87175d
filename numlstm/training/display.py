"""Results of a fit in HTML, for notebooks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.training.progress import metrics_of
from numlstm.utils.tables import block, facts
from numlstm.utils.types import Array

_WIDTH, _HEIGHT, _MARGIN = 240, 48, 3  # of a sparkline, in pixels


def as_html(result: Mapping[str, Any]) -> str:
    """How a fit ended, in a table, and the losses of its epochs as lines."""
    lines = _sparkline(result.get("history", {}))
    return block(f"FitResult: {result.get('message', '')}", facts(_facts(result)).html(), lines)


def _facts(result: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if "success" in result:
        found["Success"] = f"{result['success']}, status {result.get('status')}"
    if "fun" in result:
        found[f"Loss ({result.get('loss', '')})"] = f"{result['fun']:.4g}"
    history, best = result.get("history", {}), 0
    validation = history.get("validation_loss", ())
    if judged := bool(np.isfinite(validation).any()):
        best = int(np.nanargmin(validation))
        found["Validation loss"] = f"{validation[best]:.4g} at best, in epoch {best + 1}"
    if metrics := metrics_of(history):
        at = slice(best, best + 1) if judged else slice(-1, None)
        words = (f"{name} {history[key][at][0]:.4g}" for key, name in metrics.items())
        found["Metrics"] = f"{', '.join(words)}, {'in that' if judged else 'in the last'} epoch"
    if "nit" in result:
        found["Epochs"] = f"{result['nit']}, with {result.get('nfev')} gradients"
    if "data" in result:
        found["Data"] = str(result["data"])
    if "model" in result:
        found["Model"] = repr(result["model"])
    return found


_SHOWN = {"loss": "", "validation_loss": ' stroke-dasharray="3 2"'}


def _sparkline(history: Mapping[str, Array]) -> str:
    """Losses over epochs as an inline SVG, in the colour of the text; logarithmic where it can."""
    curves = {name: history[name] for name in _SHOWN if np.size(history.get(name, ())) > 1}
    finite = [curve[np.isfinite(curve)] for curve in curves.values()]
    values = np.concatenate([*finite, np.empty(0)])
    if not values.size:
        return ""
    scaled: Any = np.log if values.min() > 0 else np.asarray
    low, high = float(scaled(values.min())), float(scaled(values.max()))
    lines = "".join(
        f'<polyline points="{_points(curve, scaled, low, high)}"{_SHOWN[name]}/>'
        for name, curve in curves.items()
    )
    words = " and ".join(name.replace("_", " ") for name in curves)
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" fill="none" stroke="currentColor">'
        f"<title>{words} by epoch</title>{lines}</svg>"
    )


def _points(curve: Array, scaled: Any, low: float, high: float) -> str:
    """Pixels of the finite values, at most as many as there are pixels."""
    epochs = np.unique(np.linspace(0, curve.size - 1, _WIDTH).astype(int))
    epochs = epochs[np.isfinite(curve[epochs])]
    x = _MARGIN + epochs / (curve.size - 1) * (_WIDTH - 2 * _MARGIN)
    heights = scaled(curve[epochs])
    share = (heights - low) / (high - low) if high > low else np.full(epochs.size, 0.5)
    y = _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
