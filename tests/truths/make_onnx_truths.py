"""Make onnx_truths.npz: the LSTM operator of ONNX, every attribute and every input of it.

Needs onnx and onnxruntime; the tests do not. Run it: python tests/truths/make_onnx_truths.py

Two producers. Y, Y_h, Y_c are onnxruntime's, whose operator knows float32 only and no layout = 1
(there they are the reference evaluator's of onnx). text_Y, text_Y_h, text_Y_c are in float64: the
equations of the operator's text, spelled out in ONNX's elementary operators and run by onnx's
reference evaluator. The two agree, which is required here, but for "clip_of_the_cell": the text
clips what goes into every activation, onnxruntime 1.32 leaves out the last one, h(Ct)
(microsoft/onnxruntime issue 27224).

Inputs are float32 under the operator's names, attributes are JSON. Arrays are stored as
"configuration.name".
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

INPUT_SIZE, B, T = 2, 3, 5
LENGTHS = np.array([2, 5, 3], np.int32)
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
STATE = ("initial_h", "initial_c")
OUTPUTS = {"Y": 4, "Y_h": 3, "Y_c": 3}  # and their number of axes

# name: alpha and beta where the function has them
ACTIVATIONS = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "Affine": (0.5, 0.25),
    "LeakyRelu": (0.125,),
    "ThresholdedRelu": (0.25,),
    "ScaledTanh": (0.75, 1.5),
    "HardSigmoid": (0.375, 0.25),
    "Elu": (0.5,),
    "Softsign": (),
    "Softplus": (),
}


def activations(*names):
    """The attributes; the constants stand in the order of the functions that take some."""
    constants = [ACTIVATIONS[name] for name in names]
    lists = {
        "activations": names,
        "activation_alpha": [c[0] for c in constants if c],
        "activation_beta": [c[1] for c in constants if c[1:]],
    }
    return {name: list(values) for name, values in lists.items() if values}


# each function once as f, as g and as h; an unbounded f goes with a bounded h, or states explode
TRIPLES = [
    ("Relu", "Softsign", "Tanh"),
    ("Tanh", "Affine", "Relu"),
    ("Sigmoid", "ScaledTanh", "LeakyRelu"),
    ("Affine", "Relu", "Softsign"),
    ("LeakyRelu", "HardSigmoid", "Sigmoid"),
    ("ThresholdedRelu", "Elu", "ScaledTanh"),
    ("ScaledTanh", "LeakyRelu", "Softplus"),
    ("HardSigmoid", "Softplus", "ThresholdedRelu"),
    ("Elu", "Tanh", "Affine"),
    ("Softsign", "ThresholdedRelu", "Elu"),
    ("Softplus", "Sigmoid", "HardSigmoid"),
]

# name: (hidden size, attributes, optional inputs)
CONFIGURATIONS = {
    "no_bias": (5, {}, ()),
    "bias": (1, {}, ("B",)),
    "initial": (7, {}, ("B", *STATE)),
    "initial_h": (3, {}, ("B", "initial_h")),
    "reverse": (5, {"direction": "reverse"}, ("B", *STATE)),
    "bidirectional": (3, {"direction": "bidirectional"}, ("B", *STATE)),
    "lengths": (5, {}, ("B", "sequence_lens", *STATE)),
    "lengths_reverse": (5, {"direction": "reverse"}, ("B", "sequence_lens", *STATE)),
    "lengths_bidirectional": (3, {"direction": "bidirectional"}, ("B", "sequence_lens", *STATE)),
    "peepholes": (5, {}, ("B", *STATE, "P")),
    "peepholes_reverse": (3, {"direction": "reverse"}, ("P",)),
    "input_forget": (5, {"input_forget": 1}, ("B", *STATE)),
    "input_forget_peepholes": (3, {"input_forget": 1}, ("B", *STATE, "P")),
    "clip": (  # a candidate below 0.25 keeps the cell below 0.68 = 0.25 s(1) / (1 - s(1))
        3,
        {"clip": 1.0, **activations("Sigmoid", "ScaledTanh", "Tanh"), "activation_alpha": [0.25]},
        ("B", "initial_h"),
    ),
    "clip_input_forget": (5, {"clip": 0.75, "input_forget": 1}, ("B", "initial_h")),
    "clip_of_the_cell": (5, {"clip": 0.75}, ("B", *STATE, "P")),
    "default_constants": (5, {"activations": ["HardSigmoid", "LeakyRelu", "Elu"]}, ("B", *STATE)),
    **{f"activation_{t[0]}": (5, activations(*t), ("B", *STATE)) for t in TRIPLES},
    "activations_by_direction": (
        3,
        {
            "direction": "bidirectional",
            **activations("Sigmoid", "Elu", "Tanh", "HardSigmoid", "ScaledTanh", "Softsign"),
        },
        ("B", "sequence_lens", *STATE),
    ),
    "layout": (5, {"layout": 1}, ("B", *STATE, "P")),
    "layout_bidirectional": (3, {"layout": 1, "direction": "bidirectional"}, ("B", *STATE)),
    "all_of_it": (
        5,
        {
            "direction": "bidirectional",
            "clip": 1.25,
            "input_forget": 1,
            **activations("HardSigmoid", "Softsign", "LeakyRelu", "Sigmoid", "Tanh", "Relu"),
        },
        ("B", "sequence_lens", *STATE, "P"),
    ),
}


def inputs_of(hidden_size, attributes, optional, rng):
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    shapes = {
        "X": (T, B, INPUT_SIZE),
        "W": (directions, 4 * hidden_size, INPUT_SIZE),
        "R": (directions, 4 * hidden_size, hidden_size),
        "B": (directions, 8 * hidden_size),
        "initial_h": (directions, B, hidden_size),
        "initial_c": (directions, B, hidden_size),
        "P": (directions, 3 * hidden_size),
    }
    scale, shift = 0.8, 0.0
    if "activations" in attributes and "clip" not in attributes:
        # small where functions may be unbounded, and a bias that keeps most units above zero
        scale, shift = 0.3, 0.125
    arrays = {}
    for name in ("X", "W", "R", *(name for name in optional if name != "sequence_lens")):
        arrays[name] = (scale * rng.standard_normal(shapes[name])).astype(np.float32)
    if "B" in optional:
        arrays["B"] += np.float32(shift)
    if "sequence_lens" in optional:
        arrays["sequence_lens"] = LENGTHS
    if attributes.get("layout"):
        arrays |= {n: arrays[n].swapaxes(0, 1).copy() for n in ("X", *STATE) if n in arrays}
    return arrays


def operator(attributes, arrays, dtype=TensorProto.FLOAT):
    """A model of one LSTM node."""
    types = dict.fromkeys(INPUTS, dtype) | {"sequence_lens": TensorProto.INT32}
    inputs = [name if name in arrays else "" for name in INPUTS]
    node = helper.make_node(
        "LSTM", inputs, list(OUTPUTS), hidden_size=arrays["R"].shape[-1], **attributes
    )
    model = helper.make_model(
        helper.make_graph(
            [node],
            "lstm",
            [helper.make_tensor_value_info(n, types[n], arrays[n].shape) for n in arrays],
            [helper.make_tensor_value_info(n, dtype, [None] * axes) for n, axes in OUTPUTS.items()],
        ),
        opset_imports=[helper.make_opsetid("", 22)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model


def by_the_runtime(attributes, arrays):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        operator(attributes, arrays).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    return session.run(list(OUTPUTS), arrays)


def by_the_evaluator(attributes, arrays):
    """onnx's own LSTM: float64 and layout = 1, but no clip, lengths or other activations."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    model = operator(attributes, wide, TensorProto.DOUBLE)
    return ReferenceEvaluator(model).run(list(OUTPUTS), wide)


def applied(activation, z, result):
    """`result = activation(clip(z))` in ONNX's textual form."""
    name, *constants = activation
    u = f"{result}_clipped"
    lines = [f"{u} = Clip({z}, low, high)"]
    if name == "Affine":
        a, b = (f"Constant <value = double {{{c}}}> ()" for c in constants)
        lines += [f"{u}_a = {a}", f"{u}_b = {b}", f"{u}_scaled = Mul({u}_a, {u})"]
        lines += [f"{result} = Add({u}_scaled, {u}_b)"]
    elif name == "ScaledTanh":
        a, b = (f"Constant <value = double {{{c}}}> ()" for c in constants)
        lines += [f"{u}_a = {a}", f"{u}_b = {b}", f"{u}_scaled = Mul({u}_b, {u})"]
        lines += [f"{u}_tanh = Tanh({u}_scaled)", f"{result} = Mul({u}_a, {u}_tanh)"]
    else:
        given = ", ".join(
            f"{n} = {c!r}" for n, c in zip(("alpha", "beta"), constants, strict=False)
        )
        lines += [f"{result} = {name}" + (f" <{given}>" if given else "") + f" ({u})"]
    return lines


def step_model(f, g, h, input_forget):
    """One time step as the operator's text gives it, line by line."""
    lines = [
        "Wt = Transpose(W)",
        "Rt = Transpose(R)",
        "XW = MatMul(X, Wt)",
        "HR = MatMul(H, Rt)",
        "Wb, Rb = Split <axis = 0, num_outputs = 2> (B)",
        "Z = Sum(XW, HR, Wb, Rb)",
        "Zi, Zo, Zf, Zc = Split <axis = 1, num_outputs = 4> (Z)",
        "Pi, Po, Pf = Split <axis = 0, num_outputs = 3> (P)",
        "PiC = Mul(Pi, C)",
        "PfC = Mul(Pf, C)",
        "ZPi = Add(Zi, PiC)",
        "ZPf = Add(Zf, PfC)",
        *applied(f, "ZPi", "it"),
        *(["ft = Sub(one, it)"] if input_forget else applied(f, "ZPf", "ft")),
        *applied(g, "Zc", "ct"),
        "kept = Mul(ft, C)",
        "added = Mul(it, ct)",
        "Ct = Add(kept, added)",
        "PoC = Mul(Po, Ct)",
        "ZPo = Add(Zo, PoC)",
        *applied(f, "ZPo", "ot"),
        *applied(h, "Ct", "hCt"),
        "Ht = Mul(ot, hCt)",
    ]
    inputs = "double[b, i] X, double[b, h] H, double[b, h] C, double[m, i] W, double[m, h] R"
    scalars = "double low, double high, double one"
    return onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 22]>\n'
        f"step ({inputs}, double[n] B, double[p] P, {scalars})"
        " => (double[b, h] Ht, double[b, h] Ct)\n{\n" + "\n".join(lines) + "\n}"
    )


def triples(attributes, directions):
    """(f, g, h) of each direction, each (name, constants...)."""
    names = attributes.get("activations", ["Sigmoid", "Tanh", "Tanh"] * directions)
    alphas, betas = (iter(attributes.get(f"activation_{n}", [])) for n in ("alpha", "beta"))
    functions = []
    for name in names:
        count = len(ACTIVATIONS[name])
        # without a value the operator of that name has its own default
        given = [next(values, None) for values in (alphas, betas)[:count]]
        functions.append((name, *(value for value in given if value is not None)))
    return [functions[3 * k : 3 * k + 3] for k in range(directions)]


def by_the_text(attributes, arrays):
    """Row by row and direction by direction, in float64, layout 0."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    directions, _, size = wide["R"].shape
    limit = attributes.get("clip", np.finfo(np.float64).max)
    Y = np.zeros((T, directions, B, size))
    Y_h, Y_c = (wide.get(name, np.zeros((directions, B, size))).copy() for name in STATE)
    for k, (f, g, h) in enumerate(triples(attributes, directions)):
        step = ReferenceEvaluator(step_model(f, g, h, attributes.get("input_forget", 0)))
        backwards = k == 1 or attributes.get("direction") == "reverse"
        weights = {
            "W": wide["W"][k],
            "R": wide["R"][k],
            "B": wide["B"][k] if "B" in wide else np.zeros(8 * size),
            "P": wide["P"][k] if "P" in wide else np.zeros(3 * size),
            **{"low": np.array(-limit), "high": np.array(limit), "one": np.array(1.0)},
        }
        for row, length in enumerate(arrays.get("sequence_lens", [T] * B)):
            state = Y_h[k, [row]], Y_c[k, [row]]
            for t in reversed(range(length)) if backwards else range(length):
                X, (H, C) = wide["X"][t, [row]], state
                state = step.run(None, {"X": X, "H": H, "C": C, **weights})
                Y[t, k, row] = state[0][0]
            Y_h[k, row], Y_c[k, row] = state[0][0], state[1][0]
    return Y, Y_h, Y_c


def layout_1(Y, Y_h, Y_c):
    return Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)


def difference(one, other):
    pairs = zip(one, other, strict=True)
    return np.max([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])


def require_effects(attributes, arrays, text):
    """A truth that does not depend on an attribute would prove nothing about it."""
    for name in ("clip", "input_forget", "activations"):
        if name in attributes:
            others = {n: v for n, v in attributes.items() if not n.startswith(name[:10])}
            assert difference(by_the_text(others, arrays), text) > 1e-3, name


def truths(name, rng):
    hidden_size, attributes, optional = CONFIGURATIONS[name]
    arrays = inputs_of(hidden_size, attributes, optional, rng)
    if attributes.get("layout"):
        swapped = {n: arrays[n].swapaxes(0, 1) for n in ("X", *STATE) if n in arrays}
        text = layout_1(*by_the_text(attributes, arrays | swapped))
        operators, bar = by_the_evaluator(attributes, arrays), 1e-14
    else:
        text = by_the_text(attributes, arrays)
        require_effects(attributes, arrays, text)
        operators, bar = by_the_runtime(attributes, arrays), 1e-6
    error = difference(operators, text)
    spread = [float(np.ptp(part)) for part in text]
    print(f"{name:28} {error:.1e}", "  ".join(f"{s:.2f}" for s in spread))
    assert all(part.dtype == np.float64 for part in text)
    assert 0.02 < min(spread) < max(spread) < 50  # neither dead nor exploding
    assert error > 1e-2 if name == "clip_of_the_cell" else error < bar
    stored = {"attributes": np.array(json.dumps(attributes)), **arrays}
    stored |= dict(zip(OUTPUTS, operators, strict=True))
    stored |= {f"text_{n}": part for n, part in zip(OUTPUTS, text, strict=True)}
    return {f"{name}.{key}": array for key, array in stored.items()}


if __name__ == "__main__":
    stored = {
        "onnx_version": np.array(onnx.__version__),
        "onnxruntime_version": np.array(onnxruntime.__version__),
    }
    for seed, configuration in enumerate(CONFIGURATIONS):
        stored |= truths(configuration, np.random.default_rng([2017, seed]))
    np.savez_compressed(Path(__file__).with_name("onnx_truths.npz"), **stored)
