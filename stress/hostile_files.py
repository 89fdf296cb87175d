"""Sealed files that are wrong: mutations of honest ones, one to four at once."""

import contextlib
import copy
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from numlstm.architecture.spec import NetworkSpec
from sealed_files import END, ENTRY, FIELDS, MEMBER, File, Member, overwritten

Rng = np.random.Generator

# --- mutations of the plain values ----------------------------------------------------------------

DEEP: Any = []
for _ in range(100):  # the mutations copy it; as text it is deeper
    DEEP = [DEEP]
HOSTILE: list[Any] = [
    *(None, True, False, 0, 1, -1, -2, 2, 3, 4, 5, 8, 64, 10**4, 10**6, 10**8, 2**31 - 1, 2**31),
    *(2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.0, 2.0),
    *(1e308, 5e-324, float("inf"), float("-inf"), float("nan"), 1e-30, 1e30, "", "8", "float64"),
    *("float32", "float16", "f4", "<f8", "O", "sequence", "last", "coupled", "none", "gates"),
    *("relu", "elu", "\ud800", "x" * 3000, [], {}, [1], [[[]]], {"a": 1}, ["a", "a"], DEEP),
    *({"name": "tanh", "alpha": 1.0, "beta": 0.0}, [float("nan")] * 3, ["a", "b"], [0, 0, 0]),
]


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in pairs:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += _paths(value, (*path, key))
    return found


def plain(file: File, rng: Rng) -> None:
    """Another value, or none, or one more, or another name, somewhere in the header."""
    if not isinstance(file.header, dict) or not (paths := _paths(file.header)):
        file.header = HOSTILE[rng.integers(len(HOSTILE))]
        return
    *path, key = paths[rng.integers(len(paths))]
    tree = file.header
    for step in path:
        tree = tree[step]
    kind, value = rng.integers(8), tree[key]
    if kind == 0:
        del tree[key]
    elif kind == 1 and isinstance(tree, dict):
        tree[str(rng.choice(["forget", "x", "hidden_size", "theta", ""]))] = tree.pop(key)
    elif kind == 2 and isinstance(tree, dict):
        tree[f"{key}_"] = value
    elif kind == 3 and type(value) is int:
        tree[key] = int(rng.choice([value + 1, value - 1, 2 * value, -value, value // 2]))
    elif kind == 4 and isinstance(value, bool):
        tree[key] = not value
    elif kind == 5 and isinstance(value, list):
        tree[key] = value[: len(value) // 2] if rng.integers(2) else value + value[:1]
    else:
        tree[key] = copy.deepcopy(HOSTILE[rng.integers(len(HOSTILE))])


def text(file: File, rng: Rng) -> None:
    """JSON that is none, or too much."""
    own = json.dumps(file.header)
    count = int(rng.choice([10, 10**3, 10**5]))
    choices: list[Callable[[], str]] = [
        lambda: own.replace("{", '{"kind": "model", ', 1),
        lambda: own.replace('"meta": {', '"meta": {"spec": 1, ', 1),
        lambda: "[" * count + "]" * count,
        lambda: '{"a":' * count + "1" + "}" * count,
        lambda: own.replace("1", "1" * count, 1),
        lambda: own[: rng.integers(len(own))],
        lambda: own + " " * count + "x",
        lambda: own.replace(" ", "\t\n\0\x0b"[rng.integers(4)], 1),
        lambda: "[]," * count,
        lambda: "\ufeff" + own,
    ]
    made = choices[rng.integers(len(choices))]()
    file.text = made.encode(str(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32-le"])))
    if rng.integers(8) == 0:
        file.text = bytes(rng.integers(0, 256, 60, np.uint8))


# --- mutations of arrays and of the archive -------------------------------------------------------


def _any(file: File, rng: Rng) -> Member:
    return file.members[rng.integers(len(file.members))]


NUMBERS = (np.nan, np.inf, -np.inf, 1e300, -1e38, 1e30, -1e6, 5e-324, 1e-40, 0.0, -0.0, -1.0, 1.0)


def values(file: File, rng: Rng) -> None:
    """Other numbers in an array: one, some or all."""
    member = _any(file, rng)
    if member.array.dtype.kind != "f" or not member.array.size:
        return
    array = member.array.copy()
    with np.errstate(over="ignore"):
        number = np.array(rng.choice(NUMBERS)).astype(array.dtype)
    count = int(rng.choice([1, 1, 3, array.size]))
    array.flat[rng.integers(array.size, size=count)] = number
    member.array = array


def scaled(file: File, rng: Rng) -> None:
    """All numbers of an array smaller or larger: the file may be right."""
    member = _any(file, rng)
    if member.array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            member.array = member.array * member.array.dtype.type(rng.choice([0.1, 0.5, 2, 10, -1]))


def shape(file: File, rng: Rng) -> None:
    """Another shape, size or type of an array, of which the member says so."""
    member = _any(file, rng)
    array, flat = member.array, member.array.ravel()
    choices: list[Callable[[], np.ndarray]] = [
        lambda: array[None], lambda: array[..., None], lambda: flat[:-1], lambda: flat[:0],
        lambda: np.append(flat, flat[:1]), lambda: np.append(flat, flat), lambda: flat[:1],
        lambda: flat[:1].reshape(()), lambda: array.astype(">f8"), lambda: array.astype(">f4"),
        lambda: array.astype("f8"), lambda: array.astype("f4"), lambda: array.astype("f2"),
        lambda: array.astype("i8"), lambda: array.astype("c16"), lambda: array.astype("?"),
        lambda: array.astype("U3"), lambda: flat[: flat.size // 2 * 2].reshape(2, -1),
        lambda: array.astype(array.dtype.newbyteorder(">")), lambda: array.astype("S2"),
    ]  # fmt: skip
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        member.array = choices[rng.integers(len(choices))]()


SPECS: list[tuple[str, Any]] = [
    *(("hidden_size", n) for n in (1, 2, 5, 16, 33)), *(("num_layers", n) for n in (1, 2, 40)),
    *(("bidirectional", True), ("bidirectional", False), ("residual", True), ("residual", False)),
    *(("proj_size", None), ("proj_size", 1), ("proj_size", 3), ("learned_state", True)),
    *(("dtype", "float32"), ("dtype", "float64"), ("output_size", None), ("output_size", 1)),
    *(("output_size", 6), ("input_size", 1), ("input_size", 4), ("cell.peephole", True)),
    *(("cell.layer_norm", value) for value in (True, False, "gates")),
    *(("cell.forget_gate", value) for value in ("gate", "coupled", "none")),
    *(("cell.cell_clip", value) for value in (1e-30, 0.3, 1e30, 5e-324)),
    *(("cell.activation_clip", value) for value in (1e-30, 2.0, 1e30)),
    *(("cell.layer_norm_epsilon", value) for value in (1e-30, 1.0, 1e30)),
    *(("dropout.zoneout_h", value) for value in (0.999, 1e-30)),
    *(("dropout.zoneout_c", value) for value in (0.999, 1e-30)),
]  # fmt: skip


def variant(file: File, rng: Rng) -> None:
    """Another network, with parameters of its number: right, if it is one that can be."""
    try:
        spec = file.header["meta"]["spec"]
        for index in rng.integers(len(SPECS), size=rng.integers(1, 4)):
            path, value = SPECS[index]
            *within, name = path.split(".")
            (spec[within[0]] if within else spec)[name] = value
        restored = NetworkSpec.restored(spec)
    except (KeyError, TypeError, ValueError):  # of a checkpoint, or mutated before
        return
    if restored.num_parameters < 10**5:
        theta = rng.uniform(-1, 1, restored.num_parameters).astype(restored.dtype)
        for member in file.members:
            member.array = theta if member.name == "theta.npy" else member.array


DESCRIPTIONS = (
    "'<f4'", "'<f8'", "'>f4'", "'>f8'", "'|O'", "'<i4'", "'<i8'", "'|u1'", "'<f2'", "'|b1'",
    "'<U1'", "'|V8'", "'<c8'", "'<f16'", "'=f4'", "'f4'", "'<f3'", "''", "'<M8[ns]'",
    "'<m8[99999999999ns]'",
    "[('a', '<f4')]", "__import__('os')", "'<f4', 'x': 1", "'<f444'", "'float32'",
)  # fmt: skip
SHAPES = (
    "()", "(1,)", "(0,)", "(-1,)", "(99999999999999,)", "(9223372036854775807,)", "(1, 1, 1)",
    "(18446744073709551616,)", "(4294967296, 4294967296)", "(0, 9223372036854775807)", "(True,)",
    "(1.0,)", "[3]", "3", "('3',)", "(3)", "(" + "1, " * 40 + ")", "(0x3,)", "(3L,)", "None",
)  # fmt: skip


def npy(file: File, rng: Rng) -> None:
    """Another header of NumPy's, or other bytes behind it."""
    member = _any(file, rng)
    own, deep = member.array.tobytes(), b"(" * int(rng.choice([50, 5000]))
    choices: list[tuple[str, Any]] = [
        ("descr", DESCRIPTIONS[rng.integers(len(DESCRIPTIONS))]),
        ("shape", SHAPES[rng.integers(len(SHAPES))]),
        ("order", str(rng.choice(["True", "1", "None"]))),
        ("version", [b"\2\0", b"\3\0", b"\4\0", b"\0\0", b"\1\1"][rng.integers(5)]),
        ("size", int(rng.choice([0, 1, 50, 65535, 2**31]))),
        ("header", [b"", b"{}", deep, b"x" * 70_000, b"{'descr': '<f4'}"][rng.integers(5)]),
        ("payload", [own[:-1], own + b"\0", b"", own * 2, own[1:]][rng.integers(5)]),
        ("magic", [b"\x93NUMPX", b"", b"\x80\x04"][rng.integers(3)]),
    ]  # fmt: skip
    name, value = choices[rng.integers(len(choices))]
    member.npy[name] = value


NAMES = (
    "theta.npy", "scaling/x_mean.npy", "scaling/y_mean.npy", "scaling/y_scale.npy", "state_h.npy",
    "filling/mean.npy", "header.npy", "theta", "../../x.npy", "/x.npy", " ", ".npy", "a\0b.npy",
    "th\u00e9ta.npy", "optimizer_m.npy", "best_theta.npy", "theta.npy.npy", "THETA.npy", "x" * 999,
)  # fmt: skip


def members(file: File, rng: Rng) -> None:
    """A member dropped, twice, elsewhere, or under another name."""
    place, kind = int(rng.integers(len(file.members))), rng.integers(6)
    member = file.members[place]
    if kind == 0 and len(file.members) > 1:
        del file.members[place]
    elif kind == 1:
        file.members.insert(place, copy.deepcopy(member))
    elif kind == 2:
        file.members.reverse()
    elif kind == 3:
        other = _any(file, rng)
        member.array, other.array = other.array, member.array
    else:
        made = copy.deepcopy(member)
        made.name = NAMES[rng.integers(len(NAMES))]
        file.members[place : place + (kind == 4)] = [made]


def zipping(file: File, rng: Rng) -> None:
    """A member that is compressed, or fields of the zip archive that lie, one to three of them."""
    if rng.integers(8) == 0:
        _any(file, rng).method = zipfile.ZIP_DEFLATED
        return
    record = (MEMBER, ENTRY, ENTRY, END)[rng.integers(4)]
    index = 0 if record == END else int(rng.integers(len(file.members)))
    numbers = len(_any(file, rng).content()), *(2**n for n in (0, 1, 3, 6, 11, 13, 16, 31, 32))
    lies = {
        str(name): int(rng.choice(numbers)) - int(rng.choice([0, 0, 1]))
        for name in rng.choice(list(FIELDS[record]), rng.choice([1, 1, 2, 3]))
    }
    if "method" in lies:
        lies["method"] = int(rng.choice([8, 8, 12, 14, 99, 1]))
    if record != END and rng.integers(6) == 0:
        lies = dict.fromkeys(("packed", "size"), int(rng.choice(numbers)))
    file.damage.append(lambda body: overwritten(body, record, index, **lies))


def raw(file: File, rng: Rng) -> None:
    """Bytes flipped, cut out, put in or left out at an end."""
    places, kind = rng.random(4), rng.integers(5)
    flips, junk = rng.integers(1, 256, 4), bytes(rng.integers(0, 256, 30, np.uint8))

    def damaged(body: bytes) -> bytes:
        made = bytearray(body)
        one, other = sorted(int(p * len(made)) for p in places[:2])
        if kind < 2:
            for place, flip in zip(places[: 1 + 3 * kind], flips, strict=False):
                made[int(place * len(made))] ^= int(flip)
        elif kind == 2:
            del made[one:other]
        elif kind == 3:
            made[one:one] = junk
        else:
            del made[other:]
        return bytes(made)

    file.damage.append(damaged)


MUTATIONS = (
    *(plain, plain, plain, plain, text, values, values, scaled, variant, variant, shape, npy),
    *(members, zipping, raw),
)


def mutated(file: File, rng: Rng) -> bytes:
    """A file with one mutation, or with up to four."""
    file = copy.deepcopy(file)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])):
        if file.members:
            with contextlib.suppress(TypeError, ValueError):  # of what others have mutated
                MUTATIONS[rng.integers(len(MUTATIONS))](file, rng)
    return file.data()
