"""Nouns: small classes that stand for several keywords, and the hints on unknown names."""

import inspect
from dataclasses import dataclass

import pytest

from numlstm.utils import checks, nouns
from numlstm.utils.nouns import Noun, option, required, suggesting


@dataclass(frozen=True)
class Engine(Noun):
    """An example."""

    power: float = option(1.0, checks.real)
    turbo: bool = option(False, checks.flag, full_batch=False)


@dataclass(frozen=True)
class Car(Noun):
    """An example within which there is another."""

    seats: int = required(checks.size)
    engine: Engine = option(Engine(), lambda name, value: nouns.read(Engine, name, value))
    hybrid: bool = option(False, checks.flag, full_batch=lambda car: car.seats > 2)
    names: tuple = option((), lambda name, value: tuple(value))


def test_every_value_goes_through_its_check():
    assert Car(4, {"power": 3}) == Car(4, Engine(3.0))
    with pytest.raises(ValueError, match="seats must be an integer >= 1"):
        Car(0)
    with pytest.raises(TypeError, match="turbo must be True or False"):
        Car(2, {"turbo": 1})


@pytest.mark.parametrize("value", [None, {}, Engine()])
def test_reading_an_argument(value):
    assert nouns.read(Engine, "engine", value) == Engine()
    assert nouns.values(Engine, value) == {"power": 1.0, "turbo": False}


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("turbo", TypeError, r"engine must be a dict with some of \['power', 'turbo'\], or None"),
        ({"trubo": True}, ValueError, "engine has no 'trubo': did you mean 'turbo'"),
        ({3: True}, ValueError, r"engine has no 3; it has \['power', 'turbo'\]"),
    ],
)
def test_an_argument_that_is_refused(value, error, words):
    with pytest.raises(error, match=words):
        nouns.read(Engine, "engine", value)


class Tuned(Engine):
    """An engine with a field that nobody else knows."""

    boost: float = 0.0


def test_a_subclass_is_refused():
    words = (
        r"engine must be Engine\(...\) itself, .* Tuned, .* write engine=Engine\(...\), or a dict"
    )
    for build in (lambda value: nouns.read(Engine, "engine", value), lambda value: Car(2, value)):
        with pytest.raises(TypeError, match=words):
            build(Tuned())


def test_what_was_changed_and_its_words():
    car = Car(4, Engine(turbo=True), names=("a", "b"))
    assert car.changed() == {"seats": 4, "engine": Engine(turbo=True), "names": ("a", "b")}
    assert car.in_words(without=("seats",)) == "engine(turbo), names=(a, b)"
    assert Engine(2.5).in_words() == "power=2.5"
    assert Car(2).in_words(without=("seats",)) == ""


def test_what_is_not_used_follows_from_the_fields():
    assert Engine(turbo=True).unused_on_full_batches() == ["turbo"]
    assert Engine(2.0).unused_on_full_batches() == []
    assert Car(2, hybrid=True).unused_on_full_batches() == ["hybrid"]
    assert Car(3, hybrid=True).unused_on_full_batches() == []


def test_a_noun_with_other_values_is_a_new_one():
    given, engine = {"power": 2}, Engine(2.0)
    assert nouns.amended(Engine, "engine", given, {"turbo": True}) == {"power": 2, "turbo": True}
    assert nouns.amended(Engine, "engine", engine, {"turbo": True}) == Engine(2.0, True)
    assert nouns.amended(Engine, "engine", None, {"turbo": True}) == {"turbo": True}
    assert (given, engine) == ({"power": 2}, Engine(2.0))


@suggesting({"engine": Engine}, [("seats", "chairs", "places"), ("colour", "color")])
def build(seats, *, engine=None, speed=0.0):
    """Build a car."""
    return seats, engine, speed


def test_a_function_that_suggests_is_the_same_function():
    assert build(4, speed=2.0) == (4, None, 2.0)
    assert build.__name__ == "build"
    assert build.__doc__ == "Build a car."
    assert list(inspect.signature(build).parameters) == ["seats", "engine", "speed"]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"sped": 1}, "build() has no keyword 'sped': did you mean 'speed'?"),
        ({"SPEED": 1}, "build() has no keyword 'SPEED': did you mean 'speed'?"),
        ({"chairs": 1}, "build() has no keyword 'chairs': did you mean 'seats'?"),
        ({"turbo": True}, "build() has no keyword 'turbo': pass engine={'turbo': True}"),
        ({"turbos": True}, "build() has no keyword 'turbos': pass engine={'turbo': True}"),
        ({"power": [1]}, "build() has no keyword 'power': pass engine={'power': ...}"),
        ({"color": "red"}, "build() has no keyword 'color'"),
        ({"x": 1}, "build() has no keyword 'x'"),
    ],
)
def test_unknown_keywords(keywords, words):
    with pytest.raises(TypeError) as caught:
        build(4, **keywords)
    assert str(caught.value) == words
