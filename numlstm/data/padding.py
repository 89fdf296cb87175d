"""Padding: rows of different lengths begin at the first step, and are padded behind."""

import numpy as np

from numlstm.utils.types import Array


def require_right_padding(X: Array, lengths: Array | None) -> None:
    """Refuse rows (B, T, I) that are padded in front, as in Keras, beside `lengths` (B,).

    What lies before the values of a row is then constant, and what lies behind `lengths` is not.
    """
    if lengths is None:
        return
    short = np.flatnonzero((lengths < X.shape[1]) & (lengths > 0))
    if not short.size:
        return
    counts = X.shape[1] - lengths[short]
    longer = short[counts > 1]  # one step is constant in any case
    if not longer.size or not _same(X[longer, 0], X[longer, 1]):
        return  # here most data are through
    rows = list(zip(X[short], counts, strict=True))
    fronts, ends = [row[:n] for row, n in rows], [row[-n:] for row, n in rows]
    begun = [not _constant(row[: n + 1]) for row, n in rows]  # where the values should begin
    if all(map(_constant, fronts)) and not all(map(_constant, ends)) and np.mean(begun) > 0.5:
        raise ValueError(
            "the rows of X are padded in front: what lies before their last values is constant, "
            "and what lies behind lengths, which is never read, is not. Pass a list without "
            "lengths=, X = [row[len(row) - n:] for row, n in zip(X, lengths)], and likewise all "
            "that has a value per step; if the rows do begin there, write one value, such as 0, "
            "behind their lengths"
        )


def _constant(steps: Array) -> bool:
    """Whether all steps (N, I) are the same."""
    return _same(steps, steps[:1])


def _same(a: Array, b: Array) -> bool:
    """Whether values are equal; a NaN is the same as another."""
    return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))
