"""Coefficients of `series32` and `series64` in `numlstm.cell.elementary`.

A Remez exchange on q(r) = (exp(r) - 1 - r) / r**2, abs(r) <= ln(2)/2: Remez (1934), "Sur la
determination des polynomes d'approximation de degre donnee", Communications de la Societe
mathematique de Kharkof 10. The error is weighted so that the relative error of
expm1(r) = r + r**2 q(r) is what oscillates evenly.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np
from mpmath import mp

DEGREES = {np.float32: 4, np.float64: 9}
POINTS = 3001


class Curve(NamedTuple):
    """What is to be approximated, point by point."""

    r: list
    q: list
    weight: list


def curve() -> Curve:
    """q and its weight on a grid over the interval, a little wider than rounding leaves r."""
    bound = mp.log(2) / 2 * mp.mpf("1.0001")
    r = mp.linspace(-bound, bound, POINTS)
    # the weight vanishes at r = 0; a floor keeps q near its true value there
    floor = mp.mpf("0.02") * bound
    weight = [abs(x * x / mp.expm1(x)) + floor if x else floor for x in r]
    return Curve(r, [q(x) for x in r], weight)


def q(r):
    """(exp(r) - 1 - r) / r**2 by its Taylor series, which loses no digits near 0."""
    return mp.polyval([1 / mp.factorial(k + 2) for k in reversed(range(40))], r)


def remez(curve: Curve, degree: int) -> tuple[list, float]:
    """Coefficients, the highest first, and the largest weighted error."""
    chosen = chebyshev(degree + 2)
    while True:
        coefficients = levelled(curve, degree, chosen)
        errors = [
            (target - mp.polyval(coefficients, r)) * weight
            for r, target, weight in zip(*curve, strict=True)
        ]
        peaks = extremes(errors, degree + 2)
        if peaks == chosen:
            return coefficients, float(max(map(abs, errors)))
        chosen = peaks


def chebyshev(count: int) -> list[int]:
    """Indices of the grid near the extremes of a Chebyshev polynomial."""
    angles = np.pi * (2 * np.arange(count)[::-1] + 1) / (2 * count)
    return [round(place) for place in (POINTS - 1) * (1 + np.cos(angles)) / 2]


def levelled(curve: Curve, degree: int, chosen: list[int]) -> list:
    """The polynomial whose weighted error is +E, -E, +E, ... at the chosen points."""
    rows = [
        [curve.r[i] ** k for k in reversed(range(degree + 1))] + [(-1) ** n / curve.weight[i]]
        for n, i in enumerate(chosen)
    ]
    return list(mp.lu_solve(mp.matrix(rows), mp.matrix([curve.q[i] for i in chosen])))[:-1]


def extremes(errors: list, count: int) -> list[int]:
    """Index of the largest error in every stretch of one sign."""
    stretches = groupby(range(len(errors)), key=lambda i: errors[i] > 0)
    peaks = [max(indices, key=lambda i: abs(errors[i])) for _, indices in stretches]
    if len(peaks) != count:
        raise ArithmeticError(f"{len(peaks)} extremes instead of {count}")
    return peaks


def main() -> None:
    mp.dps = 50
    target = curve()
    for kind, degree in DEGREES.items():
        coefficients, error = remez(target, degree)
        print(f"{kind.__name__}, degree {degree}, relative error of expm1 {error:.1e}:")
        for coefficient in coefficients:
            print(f"    {kind(coefficient)!s}")


if __name__ == "__main__":
    main()
