"""Covering arrays: few choices of a level of every factor, in which all pairs of levels meet."""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

Choice = dict[str, Any]  # the level of every factor, by name, always in the same order
Pair = tuple[tuple[str, Any], tuple[str, Any]]


def pairs(choice: Choice) -> list[Pair]:
    """What meets in a choice."""
    return list(combinations(choice.items(), 2))


def covering(wanted: Iterable[Pair], draw: Callable[[list[Pair]], Iterable[Choice]]) -> Iterator:
    """Choices in which all these pairs occur: always the one drawn with most that are missing.

    `draw` gets the missing pairs; one of the choices that it gives must have one of them.
    """
    missing = dict.fromkeys(wanted)  # in their order, unlike a set, so that a seed says all
    while missing:
        best = max(draw(list(missing)), key=lambda choice: sum(p in missing for p in pairs(choice)))
        for pair in pairs(best):
            missing.pop(pair, None)
        yield best
