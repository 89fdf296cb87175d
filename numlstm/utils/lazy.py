"""Values that are computed once, on first use."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):
    """`functools.cached_property` as it is from Python 3.12 on: without a lock.

    That of 3.11 has one for all instances of a class. A child of a fork waits for ever where
    another thread of its parent had it.
    """

    def __init__(self, function: Callable[[Any], T]):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Know where instances keep the value."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "cached_property[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Any:
        """The value, from now on an attribute of the instance."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._function(instance)
        return value
