"""Expressions in place of numbers: what a function computes, as lines of C.

A function of `numlstm.cell`, called with expressions, gives expressions: operators build them, and
`over` puts what Python cannot overload, such as `where`, in the place of the primitives.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

Function = Callable[..., Any]

CELL = "numlstm.cell."  # where the functions are that `over` copies
LONG = 50  # characters: a longer expression is cut in two
# how tightly C binds: an operand that binds less than its place asks for is put in parentheses
COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(5)
BINDING = {  # operation -> its own binding, what it asks of its operands
    "{} + {}": (SUM, (SUM, PRODUCT)),
    "{} - {}": (SUM, (SUM, PRODUCT)),
    "{} * {}": (PRODUCT, (PRODUCT, SIGN)),
    "{} / {}": (PRODUCT, (PRODUCT, SIGN)),
    "-{}": (SIGN, (ATOM,)),
    "{} < {}": (COMPARISON, (SUM, SUM)),
    "{} <= {}": (COMPARISON, (SUM, SUM)),
    "{} > {}": (COMPARISON, (SUM, SUM)),
    "{} >= {}": (COMPARISON, (SUM, SUM)),
}


@dataclass(frozen=True)
class Expression:
    """A constant (`content` is a number), a name, or an operation on operands."""

    content: float | str
    operands: "tuple[Expression, ...]" = ()
    kind: str = "number"  # its type in C

    def __add__(self, other: "Expression") -> "Expression":
        """The sum; that with 0 is the other operand."""
        if other.content == 0:
            return self
        return other if self.content == 0 else Expression("{} + {}", (self, other))

    def __sub__(self, other: "Expression") -> "Expression":
        """The difference; that of equal constants is 0."""
        if other.content == 0:
            return self
        equal = self == other and isinstance(self.content, float)
        return Expression(0.0) if equal else Expression("{} - {}", (self, other))

    def __mul__(self, other: "Expression") -> "Expression":
        """The product; by 1 it is the other operand, by 0 it is 0."""
        if 0 in (self.content, other.content):
            return Expression(0.0)
        if other.content == 1:
            return self
        return other if self.content == 1 else Expression("{} * {}", (self, other))

    def __truediv__(self, other: "Expression") -> "Expression":
        """The quotient."""
        return Expression("{} / {}", (self, other))

    def __neg__(self) -> "Expression":
        """The negative; that of a constant is a constant."""
        if isinstance(self.content, str):
            return Expression("-{}", (self,))
        return Expression(-self.content)

    def __lt__(self, other: "Expression") -> "Expression":
        """a < b, a condition for `where`."""
        return _condition("{} < {}", self, other)

    def __le__(self, other: "Expression") -> "Expression":
        """a <= b."""
        return _condition("{} <= {}", self, other)

    def __gt__(self, other: "Expression") -> "Expression":
        """a > b."""
        return _condition("{} > {}", self, other)

    def __ge__(self, other: "Expression") -> "Expression":
        """a >= b."""
        return _condition("{} >= {}", self, other)


def _condition(operation: str, a: Expression, b: Expression) -> Expression:
    return Expression(operation, (a, b), "int")


def where(condition: Expression, a: Expression, b: Expression) -> Expression:
    """a where the condition holds, else b."""
    return call("choose", condition, a, b)


def call(name: str, *operands: Expression, kind: str = "number") -> Expression:
    """A call of a C function."""
    return Expression(f"{name}({', '.join(['{}'] * len(operands))})", operands, kind)


def member(name: str, operand: Expression) -> Expression:
    """A member of a struct."""
    return Expression("{}." + name, (operand,))


def over(primitives: dict[Function, Function], function: Function) -> Function:
    """A copy of a function of `numlstm.cell` that calls other primitives, however indirectly."""
    copies: dict[Function, Function] = dict(primitives)

    def copy(value: Any) -> Any:
        if not isinstance(value, FunctionType) or not value.__module__.startswith(CELL):
            return value
        if value not in copies:
            names: dict[str, Any] = {}
            copies[value] = FunctionType(
                value.__code__, names, argdefs=value.__defaults__, closure=value.__closure__
            )
            used = set(value.__code__.co_names) & set(value.__globals__)
            names.update({name: copy(value.__globals__[name]) for name in used})
        return copies[value]

    copied: Function = copy(function)
    return copied


class Writer:
    """Lines of C that compute expressions: what is named, used twice or long gets a constant."""

    def __init__(
        self,
        results: list[Expression],
        names: dict[str, Expression],
        literal: Callable[[float], str],
    ):
        """The expressions to compute, names for parts of them, and what writes a constant."""
        self.lines: list[str] = []
        self.calls: set[str] = set()  # the C functions that these lines, or a text, call
        self._literal = literal
        self._names = {part: name for name, part in reversed(names.items())}
        self._written: dict[Expression, str] = {}
        self._results, self.uses = set(results), _uses(results)
        self._parts = Counter[str]()  # unnamed parts of a named one, so far

    def text(self, value: Expression, within: str, place: int = COMPARISON) -> str:
        """An expression as an operand, after the lines that it needs, within a named one."""
        if isinstance(value.content, str) and not value.operands:
            return value.content
        if value in self._written:
            return self._written[value]
        within = self._names.get(value, within)
        if isinstance(value.content, str):
            of_a_call = ATOM, (COMPARISON,) * len(value.operands)
            binding, places = BINDING.get(value.content, of_a_call)
            operands = [
                self.text(operand, within, needed)
                for operand, needed in zip(value.operands, places, strict=True)
            ]
            text = value.content.format(*operands)
            if value.content.endswith(")"):  # a call
                self.calls.add(value.content.partition("(")[0])
            if value in self._names or self._is_cut(value, text):
                return self._define(value, within, text)
        else:
            binding, text = SIGN if value.content < 0 else ATOM, self._literal(value.content)
        return text if binding >= place else f"({text})"

    def _is_cut(self, value: Expression, text: str) -> bool:
        if value.kind == "int" or (value.content == "-{}" and not value.operands[0].operands):
            return False
        return self.uses[value] > 1 or (len(text) > LONG and value not in self._results)

    def _define(self, value: Expression, within: str, text: str) -> str:
        name = self._names.get(value)
        if name is None:
            self._parts[within] += 1
            name = f"{within}_{self._parts[within]}"
        self.lines.append(f"const {value.kind} {name} = {text};")
        self._written[value] = name
        return name


def _uses(results: list[Expression]) -> Counter[Expression]:
    """How many different expressions have each one as an operand, or are that result."""
    uses, waiting, seen = Counter(results), list(results), set[Expression]()
    while waiting:
        value = waiting.pop()
        if value not in seen:
            seen.add(value)
            uses.update(set(value.operands))
            waiting += value.operands
    return uses
