"""Mutations of ONNX files, which `from_onnx` refuses with a sentence, or reads.

Honest files, of every variant that ONNX has and of other software's exporters, are changed as bytes
and as messages: values, names, sizes, attributes, nodes, tensors and where their numbers stand. A
mutant must raise ValueError, TypeError or `StorageError`, or give a network of finite numbers.
Everything happens in child processes with 3 GB of address space and five seconds of computing for
a case. Needs onnx.

    python stress/mutate_onnx.py --cases 50000
    python stress/mutate_onnx.py --only 4711           # one case again, in this process
"""

import json
import os
import resource
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import numlstm
from mutate_files import COMPUTING, MEMORY, WAITING, command
from numlstm.convert import from_onnx, to_onnx

Rng = np.random.Generator
ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("", "X", "Y", "Sigmoid", "reverse", "\0", "x" * 3000, "../x", "/etc/passwd", "LSTM", "If")
NUMBERS = (0, 1, -1, 2, 3, 7, 8, 11, 10**6, 2**31 - 1, 2**31, 2**40, 2**62, -(2**62))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-40, 1e30, float("nan"), float("inf"), float("-inf"))


def honest() -> dict[str, bytes]:
    """Files by name."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "double": {"dtype": "float64", "output_size": None},
        "stack": {"num_layers": 2, "bidirectional": True, "learned_state": True},
        "residual": {"num_layers": 3, "residual": True, "cell": {"peephole": True}},
        "clip": {"cell": {"activation_clip": 0.5, "forget_gate": "coupled"}},
        "functions": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "affine")}},
    }
    made = {}
    for name, options in variants.items():
        model = numlstm.LSTM(3, 4, rng=0, backend="reference", **{"output_size": 2, **options})
        if name in ("plain", "stack"):
            model.set_scaling(([1.0, 2.0, 3.0], 2.0), (1.0, 3.0))
        made[name] = to_onnx(model, check=False).SerializeToString()
    with np.load(ROOT / "tests" / "convert" / "onnx_files.npz") as file:
        for name in file.files:
            if file[name].dtype == np.uint8:
                made[name] = file[name].tobytes()
    return made


def _messages(message: Any) -> list[Any]:
    """A message and all within it."""
    found = [message]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            parts = value if hasattr(value, "__len__") else [value]
            for part in parts:
                found += _messages(part)
    return found


def _changed(rng: Rng, value: Any) -> Any:
    """Another value of a field."""
    if isinstance(value, bytes):
        cut = int(rng.integers(len(value) + 1))
        return (value[:cut], value + value[:cut], rng.bytes(len(value)))[rng.integers(3)]
    if isinstance(value, str):
        return TEXTS[rng.integers(len(TEXTS))]
    if isinstance(value, float):
        return FLOATS[rng.integers(len(FLOATS))]
    return NUMBERS[rng.integers(len(NUMBERS))]


def message(model: Any, rng: Rng) -> None:
    """Another value somewhere, or one less, or twice, or elsewhere."""
    messages = _messages(model)
    place = messages[rng.integers(len(messages))]
    fields = place.ListFields()
    if not fields:
        return
    field, value = fields[rng.integers(len(fields))]
    if field.type == field.TYPE_MESSAGE:
        if not hasattr(value, "__len__") or rng.random() < 0.2:
            place.ClearField(field.name)
            return
        kind, index = rng.integers(4), int(rng.integers(len(value)))
        if kind == 0:
            del value[index]
        elif kind == 1:
            value.add().CopyFrom(value[index])
        elif kind == 2:
            value[index].CopyFrom(value[rng.integers(len(value))])
        else:
            value.add()
    elif hasattr(value, "append"):
        index = int(rng.integers(len(value)))
        if rng.random() < 0.3:
            del value[index]
        else:
            others = [one for m in messages for f, v in m.ListFields() if f is field for one in v]
            value[index] = (
                others[rng.integers(len(others))]
                if rng.random() < 0.5
                else (_changed(rng, value[index]))
            )
    elif rng.random() < 0.2:
        place.ClearField(field.name)
    else:
        setattr(place, field.name, _changed(rng, value))


def external(model: Any, rng: Rng) -> None:
    """A tensor whose numbers stand in a file."""
    tensors = model.graph.initializer
    if not len(tensors):
        return
    tensor = tensors[rng.integers(len(tensors))]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    places = ("data", "../data", "/etc/passwd", "/dev/zero", "", ".", "file.onnx", "\0")
    tensor.external_data.add(key="location", value=places[rng.integers(len(places))])
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            number = NUMBERS[rng.integers(len(NUMBERS))]
            tensor.external_data.add(key=key, value=str(number))


def raw(data: bytes, rng: Rng) -> bytes:
    """Bytes flipped, cut out or cut off."""
    made = bytearray(data)
    first, last = sorted(int(place * len(made)) for place in rng.random(2))
    kind = rng.integers(3)
    if kind == 0:
        for place in rng.integers(len(made), size=rng.integers(1, 8)):
            made[place] ^= int(rng.integers(1, 256))
    elif kind == 1:
        del made[first:last]
    else:
        del made[last:]
    return bytes(made)


def mutated(data: bytes, rng: Rng) -> bytes:
    """A file with one mutation, or with up to four."""
    if rng.random() < 0.2:
        return raw(data, rng)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        kind = external if rng.random() < 0.05 else message
        try:
            kind(model, rng)
        except (TypeError, ValueError, UnicodeError):  # of values that a field cannot have
            continue
    return bytes(model.SerializeToString())


def use(data: bytes, check: bool = True) -> str:
    """What comes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.onnx"
        path.write_bytes(data)
        try:
            model = from_onnx(path, check=check, backend="reference")
        except numlstm.StorageError:
            return "damaged"
        except RuntimeError as error:
            return "refused by the check" if check else f"WRONG: {error}"
        except (ValueError, TypeError) as error:
            return "refused" if len(str(error)) < 2000 else "WRONG: a sentence of 2000 characters"
    if not np.isfinite(model.theta).all():
        return "WRONG: numbers that are not finite"
    shown = repr(model)
    if model.theta.size < 1e5:
        try:
            model.predict(np.zeros((2, 5, model.spec.input_size)))
        except ValueError as error:
            if "beyond the range of" not in str(error):
                raise
            return "read, and refused the data"
    return "read" if shown else "WRONG: no name"


def run(case: int, seed: int, sources: dict[str, bytes]) -> str:
    """What comes of a case."""
    rng: Rng = np.random.default_rng([seed, case])
    name = list(sources)[rng.integers(len(sources))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return use(mutated(sources[name], rng), check=case % 2 == 0)
    except Exception as error:
        return f"WRONG: {name}: {type(error).__name__}: {str(error)[:200]}"


def work(first: int, last: int, seed: int) -> None:
    """Some cases, in a child; a line for each, before which nothing is known of it."""
    sources = honest()
    for name, data in sources.items():
        if use(data) != "read":
            print(f"{name} is not read", file=sys.stderr)
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # onnx prints
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for case in range(first, last):
        signal.setitimer(signal.ITIMER_PROF, COMPUTING)
        signal.setitimer(signal.ITIMER_REAL, WAITING)
        os.write(answers, json.dumps([case, run(case, seed, sources)]).encode() + b"\n")


def main() -> int:
    """The cases of ONNX files."""
    return command(
        __doc__ or "", 50_000, work, lambda case, seed: run(case, seed, honest()), __file__
    )


if __name__ == "__main__":
    sys.exit(main())
