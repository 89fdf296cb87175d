"""The mutations of `mutants.py`: one small change of a source text each, by its syntax tree."""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_TWINS = ("min max", "any all", "minimum maximum", "argmin argmax", "floor ceil", "zeros ones")
_TWIN = {a: b for pair in _TWINS for a, b in (pair.split(), pair.split()[::-1])}
# swapped they mean the same, or nothing that could run
_NOT_SWAPPED = ("isinstance", "getattr", "setattr", "zip", "max", "min", "maximum", "minimum")
_MESSAGES = ("__repr__", "__str__", "in_words", "describe")


class Mutant(NamedTuple):
    """One change: which file and lines, of which kind, and what stands where."""

    file: str
    line: int
    lines: tuple[int, int]  # of the statement or, at module level, (0, 0)
    kind: str
    start: int
    stop: int
    new: str
    shown: str

    def source(self, text: str) -> str:
        """The file's text with the change."""
        return text[: self.start] + self.new + text[self.stop :]


def mutants(file: str, text: str) -> list[Mutant]:
    """All mutants of a file."""
    return list(_Finder(file, text).of(ast.parse(text), (0, 0)))


class _Finder:
    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.begin = [0]  # of every line
        for line in text.splitlines(keepends=True):
            self.begin.append(self.begin[-1] + len(line))

    def of(self, node: ast.AST, lines: tuple[int, int]) -> Iterator[Mutant]:
        """Those of a node and of all below it."""
        if _is_left_out(node):
            return
        inside = node.body if isinstance(node, ast.FunctionDef) else ()
        if isinstance(node, ast.stmt) and lines != (0, 0):
            lines = (node.lineno, _head_end(node))
        if not (lines == (0, 0) and _is_type(node)):
            for kind, target, new in _changes(node):
                yield self._mutant(target, lines, kind, new)
        for child in _children(node):
            yield from self.of(child, (1, 1) if child in inside else lines)

    def _mutant(self, node: ast.AST, lines: tuple[int, int], kind: str, new: ast.AST) -> Mutant:
        assert isinstance(node, (ast.expr, ast.stmt))
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.begin[node.lineno - 1] + node.col_offset
        stop = self.begin[node.end_lineno - 1] + node.end_col_offset
        written = ast.unparse(new)
        if isinstance(new, (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare)):
            written = f"({written})"
        old = " ".join(self.text[start:stop].split())
        shown = f"{old} -> {written}"
        return Mutant(self.file, node.lineno, lines, kind, start, stop, written, shown)


def _is_type(node: ast.AST) -> bool:
    """Whether a node of a module's level is a union of types."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def _is_left_out(node: ast.AST) -> bool:
    """Docstrings and messages, imports, and functions that only describe."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name in _MESSAGES
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Call):
        return "warn" in ast.unparse(node.func)
    return isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The children that are run: no annotations, no decorators, nothing of a `raise`."""
    if isinstance(node, ast.Raise):
        return
    left_out = {"annotation", "returns", "decorator_list", "bases", "type_comment", "format_spec"}
    for name, value in ast.iter_fields(node):
        if name not in left_out and not (isinstance(node, ast.keyword) and node.arg == "strict"):
            yield from (v for v in (value if isinstance(value, list) else [value]) if _is_node(v))


def _is_node(value: object) -> bool:
    return isinstance(value, ast.AST)


def _head_end(node: ast.stmt) -> int:
    """The last line of a statement, of a compound one that of what stands before its body."""
    body = getattr(node, "body", None)
    end = node.end_lineno or node.lineno
    return max(node.lineno, body[0].lineno - 1) if isinstance(body, list) else end


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """(kind, node, what stands instead of it) of a node, and of the condition that it has."""
    if isinstance(node, (ast.If, ast.IfExp)):
        yield "condition", node.test, ast.Constant(True)
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition", node.test, ast.Constant(False)
    for kind, new in _changes_of_expression(node):
        yield kind, node, new
    for kind, new in _changes_of_statement(node):
        yield kind, node, new


def _changes_of_expression(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=[operator]):
            for other in _COMPARISONS[type(operator)]:
                yield "comparison", _with(node, ops=[other()])
        case ast.BinOp() if type(node.op) in _OPERATORS and not _is_text(node):
            yield "arithmetic", _with(node, op=_OPERATORS[type(node.op)]())
        case ast.BoolOp():
            yield "and, or", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield "not, minus", node.operand
        case ast.Constant(value=bool()):
            yield "constant", ast.Constant(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield "constant", ast.Constant(number + 1)
            yield "constant", ast.Constant(number - 1)
        case ast.Slice():
            yield from (("slice", _with(node, **{end: None})) for end in _ends(node))
        case ast.Call():
            yield from _changes_of_call(node)


def _changes_of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg != "strict":  # which checks what is so
            others = [other for other in node.keywords if other is not keyword]
            yield "keyword", _with(node, keywords=others)
    name = ast.unparse(node.func).rpartition(".")[2]
    if len(node.args) > 1 and name not in _NOT_SWAPPED and _are_alike(*node.args[:2]):
        yield "swap", _with(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if name in _TWIN and isinstance(node.func, ast.Name):
        yield "twin", _with(node, func=ast.Name(_TWIN[name]))
    elif name in _TWIN:
        yield "twin", _with(node, func=_with(node.func, attr=_TWIN[name]))


def _are_alike(first: ast.expr, second: ast.expr) -> bool:
    """Whether two arguments differ, and may be mistaken for each other."""
    kinds = (ast.Starred, ast.Constant, ast.Tuple, ast.Lambda)
    if isinstance(first, kinds) or isinstance(second, kinds):
        return False
    return ast.dump(first) != ast.dump(second)


def _changes_of_statement(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.AugAssign() if type(node.op) in _OPERATORS and not _is_text(node):
            yield "arithmetic", _with(node, op=_OPERATORS[type(node.op)]())
            yield "statement", ast.Pass()
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield "return", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield "statement", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "statement", ast.Pass()
        case ast.Assign(targets=[ast.Name(id=name)]) if _uses(node.value, name):
            yield "statement", ast.Pass()


def _uses(value: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value))


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether an operator has strings around it: they are a message."""
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in ast.walk(node)
    )


def _ends(node: ast.Slice) -> list[str]:
    return [end for end in ("lower", "upper") if getattr(node, end) is not None]


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A shallow copy of a node with other fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
