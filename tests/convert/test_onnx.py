"""Networks from and to ONNX: every attribute, files of exporters, the way there and back."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numlstm
from numlstm.convert import from_onnx, to_onnx
from numlstm.utils.files import StorageError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import mutate_onnx  # noqa: E402
from numlstm.convert.onnx.reference_lstm import LSTM  # noqa: E402

TESTS = Path(__file__).resolve().parents[1]


def stored(path):
    """Arrays by the name before the dot, then by the one behind it."""
    grouped = {}
    with np.load(path) as file:
        for key in file.files:
            name, dot, part = key.rpartition(".")
            if dot:
                grouped.setdefault(name, {})[part] = file[key]
    return grouped


TRUTHS = stored(TESTS / "truths" / "onnx_truths.npz")
FILES = stored(TESTS / "convert" / "onnx_files.npz")
WEIGHTS = ("W", "R", "B", "P")
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def near(one, other, bar=1e-12):
    assert np.shape(one) == np.shape(other)
    assert np.linalg.norm(one - other) <= bar * np.linalg.norm(other)


def run(proto, output="Y", **inputs):
    return ReferenceEvaluator(proto, new_ops=[LSTM]).run([output], inputs)[0]


# ---- the operator: its attributes and inputs, by the truths of tests/truths -------------------


def node_of(truth, **changes):
    attributes = json.loads(str(truth["attributes"])) | changes
    size = truth["R"].shape[-1]
    names = [name if name in truth else "" for name in INPUTS]
    return helper.make_node("LSTM", names, ["Y", "Y_h", "Y_c"], hidden_size=size, **attributes)


def arrays_of(truth, dtype="float64"):
    return {name: truth[name].astype(dtype) for name in WEIGHTS if name in truth}


ONE_WAY_ONLY = [name for name, t in TRUTHS.items() if '"reverse"' in str(t["attributes"])]
DIFFERENT_WAYS = ["activations_by_direction", "all_of_it"]


@pytest.mark.parametrize("name", [n for n in TRUTHS if n not in (*ONE_WAY_ONLY, *DIFFERENT_WAYS)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_attribute_and_input_of_a_node(name, dtype):
    truth, bar = TRUTHS[name], 1e-12 if dtype == "float64" else 2e-6
    model = from_onnx(node_of(truth), arrays_of(truth, dtype), backend="reference")
    assert model.spec.dtype == dtype
    first = json.loads(str(truth["attributes"])).get("layout", 0)
    X = truth["X"] if first else truth["X"].swapaxes(0, 1)
    ways, size = truth["R"].shape[0], truth["R"].shape[2]
    state = [
        truth.get(key, np.zeros((len(X), ways, size) if first else (ways, len(X), size)))
        for key in ("initial_h", "initial_c")
    ]
    state = [part.swapaxes(0, 1) if first else part for part in state]
    lengths = truth.get("sequence_lens")
    Y, final = model.forward(X.astype(dtype), tuple(state), lengths=lengths)
    Y = Y.reshape(*Y.shape[:2], ways, size)
    near(Y if first else Y.transpose(1, 2, 0, 3), truth["text_Y"], bar)
    for part, key in zip(final, ("text_Y_h", "text_Y_c"), strict=True):
        near(part.swapaxes(0, 1) if first else part, truth[key], bar)


@pytest.mark.parametrize("name", ONE_WAY_ONLY)
def test_a_layer_in_reverse_only(name):
    with pytest.raises(ValueError, match=r"give it X\[:, ::-1\]"):
        from_onnx(node_of(TRUTHS[name]), arrays_of(TRUTHS[name]))


@pytest.mark.parametrize("name", DIFFERENT_WAYS)
def test_directions_with_other_activations(name):
    with pytest.raises(ValueError, match="both directions must have the same activations"):
        from_onnx(node_of(TRUTHS[name]), arrays_of(TRUTHS[name]))


def plain(**changes):
    """A model of one node, of 3 features and 2 units."""
    rng = np.random.default_rng(0)
    ways = 2 if changes.get("direction") == "bidirectional" else 1
    arrays = {
        "W": rng.standard_normal((ways, 8, 3)),
        "R": rng.standard_normal((ways, 8, 2)),
        "B": rng.standard_normal((ways, 16)),
    }
    node = helper.make_node("LSTM", ["X", *arrays], ["Y"], hidden_size=2, **changes)
    return node, arrays


def test_coupled_gates_drop_the_rows_of_the_forget_gate():
    node, arrays = plain(input_forget=1)
    one = from_onnx(node, arrays, backend="reference")
    for name in arrays:  # i, o, f, c: twice in B
        blocks = np.split(arrays[name].copy(), 8 if name == "B" else 4, 1)
        for k in range(2, len(blocks), 4):
            blocks[k] = blocks[k] + 99.0
        arrays[name] = np.concatenate(blocks, 1)
    other = from_onnx(node, arrays, backend="reference")
    assert one.cell.forget_gate == "coupled"
    assert one.theta.tobytes() == other.theta.tobytes()


@pytest.mark.parametrize("value", [0, 1])
def test_the_attribute_of_opset_1(value):
    node_, arrays = plain(output_sequence=value)
    model = from_onnx(node_, arrays, backend="reference")
    expected = from_onnx(*plain(), backend="reference")
    assert model.theta.tobytes() == expected.theta.tobytes()


def test_constants_go_to_the_functions_that_have_some():
    node, arrays = plain(
        activations=["SIGMOID", "leakyrelu", "ScaledTanh"],
        activation_alpha=[0.25, 0.5],
        activation_beta=[0.75],
    )
    model = from_onnx(node, arrays, backend="reference")
    assert [str(one) for one in model.cell.activations] == [
        "sigmoid", "leaky_relu(0.25)", "scaled_tanh(0.5, 0.75)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activations": ["Sigmoid", "Tanh", "Tanh"], "activation_alpha": [0.5]}, "1 more numbers"),
        ({"activations": ["Sigmoid", "Tanh"]}, "activations must be 3"),
        ({"activations": ["Sigmoid", "Tanh", "Mish"]}, "'Mish' is none of"),
        ({"direction": "both"}, "direction must be forward, reverse or bidirectional"),
        ({"clip": 0.0}, "activation_clip must be"),
        ({"smooth": 1}, "no attribute 'smooth'"),
        ({"clip": 1}, "clip of an LSTM is FLOAT, received INT"),
    ],
)
def test_attributes_that_are_none(changes, message):
    with pytest.raises(ValueError, match=message):
        from_onnx(*plain(**changes))


def test_a_clip_is_there_or_not():
    assert from_onnx(*plain(), backend="reference").cell.activation_clip is None
    node, arrays = plain(clip=0.1)
    narrow = {name: array.astype("float32") for name, array in arrays.items()}
    assert from_onnx(node, narrow, backend="reference").cell.activation_clip == 0.1
    wide = from_onnx(node, arrays, backend="reference")
    assert wide.cell.activation_clip == float(np.float32(0.1))


def test_two_biases_are_summed():
    node, arrays = plain()
    model = from_onnx(node, arrays, backend="reference")
    i, o, f, c = np.split(sum(np.split(arrays["B"][0], 2)), 4)
    np.testing.assert_array_equal(model.params["bias_l0"], np.concatenate([i, f, c, o]))


def test_initial_states_that_are_constant():
    node, arrays = plain()
    node.input.extend(["", "h", "c"])
    arrays |= {"h": np.full((1, 4, 2), 0.5), "c": np.zeros((1, 4, 2))}
    model = from_onnx(node, arrays, backend="reference", check=False)
    np.testing.assert_array_equal(model.params["initial_h_l0"], [0.5, 0.5])
    arrays["h"][0, 2] = 0.25
    with pytest.raises(ValueError, match="differ from row to row"):
        from_onnx(node, arrays)


def test_lengths_that_are_constant():
    node, arrays = plain()
    node.input.append("lens")
    with pytest.raises(ValueError, match="sequence_lens is constant, which fixes a batch"):
        from_onnx(node, arrays | {"lens": np.array([2, 3], np.int32)})


# ---- files of exporters ------------------------------------------------------------------------

KINDS = [f"{by}, {sizes}" for by in ("legacy", "dynamo") for sizes in ("free", "fixed")]
SPECIALISED = ("steps first", "dynamo, free")  # the exporter put the number of rows into a Reshape


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_exporters(name, kind, tmp_path):
    path = tmp_path / "file.onnx"
    path.write_bytes(FILES[name][kind].tobytes())
    if (name, kind) == SPECIALISED:
        with pytest.raises(ValueError, match="its target size 4 does not fit"):
            from_onnx(path)
        return
    model = from_onnx(path, backend="reference")
    X, Y = FILES[name]["X"], FILES[name]["Y"]
    if name == "steps first":
        X, Y = X.swapaxes(0, 1), Y.swapaxes(0, 1)
    near(model.predict(X), Y, 2e-6)
    assert model.output == ("last" if "last" in name else "sequence")


# ---- the way there and back ------------------------------------------------------------------


def drawn(rng, dtype="float32", **options):
    """A model with parameters of normal numbers, negative zeros among them, and units."""
    outputs = options.pop("output_size", 2)
    model = numlstm.LSTM(3, 4, outputs, rng=0, dtype=dtype, backend="reference", **options)
    model.theta = rng.standard_normal(model.theta.size)
    model.theta[::7] = -0.0
    return model


CONSTANTS = st.sampled_from([0.25, 0.5, 1.0])  # which float32 has
ACTIVATIONS = st.one_of(
    st.sampled_from(["sigmoid", "tanh", "softsign", "hard_sigmoid"]),
    st.tuples(st.sampled_from(["elu", "leaky_relu"]), CONSTANTS),
    st.tuples(st.sampled_from(["scaled_tanh", "affine"]), CONSTANTS, CONSTANTS),
)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_way_there_and_back_keeps_every_bit(data):
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    cell = {
        "peephole": data.draw(st.booleans()),
        "forget_gate": data.draw(st.sampled_from(["gate", "coupled"])),
        "activation_clip": data.draw(st.sampled_from([None, 0.5, 3.0])),
    }
    if dtype == "float32":
        cell["activations"] = data.draw(st.tuples(ACTIVATIONS, ACTIVATIONS, ACTIVATIONS))
    options = {
        "num_layers": data.draw(st.integers(1, 3)),
        "bidirectional": data.draw(st.booleans()),
        "learned_state": data.draw(st.booleans()),
        "output_size": data.draw(st.sampled_from([None, 1, 2])),
        "cell": cell,
    }
    options["residual"] = options["num_layers"] > 1 and data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    model = drawn(rng, dtype, **options)
    model.output = data.draw(st.sampled_from(["sequence", "last"]))
    if data.draw(st.booleans()):
        units = rng.uniform(0.5, 2, (2, model.spec.width))
        targets = tuple(units) if data.draw(st.booleans()) else None
        model.set_scaling(tuple(rng.uniform(0.5, 2, (2, 3))), targets)
    if data.draw(st.booleans()) and options["learned_state"]:
        for name, value in model.params.items():
            value[...] = 0.0 if name.startswith("initial") else value
    states, lengths = data.draw(st.booleans()), data.draw(st.booleans())
    proto = to_onnx(model, states=states, lengths=lengths, check=False)
    onnx.checker.check_model(proto, full_check=True)
    read = from_onnx(proto, backend="reference", check=False)
    assert read.spec == model.spec
    assert read.theta.tobytes() == model.theta.tobytes()
    assert read.output == model.output
    assert repr(read.scaling) == repr(model.scaling)


def test_mask_channels_have_no_units():
    y = np.sin(np.arange(60) / 5) * 3 + 20
    y[10:14] = np.nan
    options = {"epochs": 1, "rng": 0, "missing": "mask", "backend": "reference"}
    model = numlstm.fit(y, hidden_size=3, **options).model
    with pytest.warns(UserWarning, match="append the mask"):
        proto = to_onnx(model)
    X = y[None, :10, None]
    masked = np.concatenate([X, np.ones_like(X)], -1).astype("float32")
    near(run(proto, X=masked), model.predict(X), 2e-6)


def test_scaling_keeps_its_bits_and_that_of_a_variance(tmp_path):
    rng = np.random.default_rng(0)
    model = drawn(rng)
    model.set_scaling(tuple(rng.uniform(0.1, 9, (2, 3))), ([3.25], [0.3]), variance=True)
    to_onnx(model, tmp_path / "file.onnx")
    read = from_onnx(tmp_path / "file.onnx", backend="reference")
    for one, other in zip(read.scaling, model.scaling, strict=True):
        assert one.tobytes() == other.tobytes()


VARIANTS = [
    {},
    {"num_layers": 3, "bidirectional": True, "learned_state": True},
    {"num_layers": 3, "residual": True, "cell": {"peephole": True}},
    {"num_layers": 2, "residual": True, "bidirectional": True, "output_size": None},
    {"cell": {"forget_gate": "coupled", "activation_clip": 0.5}},
]


@pytest.mark.parametrize("output", ["sequence", "last"])
@pytest.mark.parametrize("options", VARIANTS)
def test_files_have_free_sizes_and_optional_inputs(options, output):
    rng = np.random.default_rng(3)
    model = drawn(rng, "float64", **options)
    model.output = output
    proto = to_onnx(model)
    X, lengths = rng.standard_normal((5, 6, 3)), np.array([6, 1, 3, 4, 6])
    shape = (model.spec.num_layers * model.spec.num_directions, 5, 4)
    state = rng.standard_normal(shape), rng.standard_normal(shape)
    near(run(proto, X=X), model.predict(X))
    near(run(proto, X=X[:1, :2]), model.predict(X[:1, :2]))
    given = {"X": X, "sequence_lens": lengths.astype(np.int32), "h0": state[0], "c0": state[1]}
    Y, final = model.forward(X, state, lengths=lengths)
    if output == "sequence":  # what stands in the padding is nobody's
        valid = np.arange(6) < lengths[:, None]
        near(run(proto, **given)[valid], Y[valid])
    else:
        made = run(proto, X=X, sequence_lens=given["sequence_lens"])
        near(made, model.predict(X, lengths=lengths))
    near(run(proto, "hn", **given), final.h)
    near(run(proto, "cn", **given), final.c)


@pytest.mark.parametrize(
    "part",
    [
        {"cell": {"layer_norm": True}},
        {"cell": {"cell_clip": 1.0}},
        {"cell": {"forget_gate": "none"}},
        {"proj_size": 2},
        {"static_size": 2},
        {"direct_input": True},
        {"dropout": {"zoneout_h": 0.1}},
    ],
)
def test_parts_that_onnx_lacks(part):
    with pytest.raises(ValueError, match="ONNX lacks a part of this model"):
        to_onnx(drawn(np.random.default_rng(0), **part))


def test_constants_that_onnx_would_round():
    model = drawn(np.random.default_rng(0), "float64", cell={"activation_clip": 0.1})
    with pytest.raises(ValueError, match=r"write float\(numpy.float32\(0.1\)\), or use float32"):
        to_onnx(model)


# ---- graphs of others --------------------------------------------------------------------------


def graph(extra, arrays=(), outputs=("out",), lstm=None, before=()):
    """A model of an LSTM, Z (T, B, 2) of its steps, and more nodes."""
    rng = np.random.default_rng(1)
    lstm = lstm or {}
    weights = {
        "W": rng.standard_normal((1, 8, 3)).astype("float32"),
        "R": rng.standard_normal((1, 8, 2)).astype("float32"),
        "one": np.array([1]),
        "V": rng.standard_normal((2, 2)).astype("float32"),
        "u": np.array([0.5, 2.0], "float32"),
        **dict(arrays),
    }
    nodes = [
        *before,
        helper.make_node("LSTM", [lstm.get("X", "X"), "W", "R"], ["Y", "Y_h"], hidden_size=2),
        helper.make_node("Squeeze", ["Y", "one"], ["Z"]),
        *extra,
    ]
    info = helper.make_tensor_value_info
    proto = helper.make_graph(
        nodes,
        "graph",
        [info("X", TensorProto.FLOAT, ["T", "B", 3])],
        [info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=8)


def node(op, inputs, output="out", **attributes):
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


def test_a_head_and_units_of_any_nodes():
    proto = graph(
        [
            node("MatMul", "Z V", "a"),
            node("Add", "u a", "b"),  # the bias
            node("Div", "b u", "c"),
            node("Sub", "c u", "out"),
        ],
        before=[node("Mul", "X two", "X2"), node("Add", "X2 shift", "X3")],
        arrays={"two": np.float32(2.0), "shift": np.array([1, 2, 3], "float32")},
        lstm={"X": "X3"},
    )
    model = from_onnx(proto, backend="reference")
    np.testing.assert_array_equal(model.scaling.x_scale, [0.5] * 3)
    np.testing.assert_array_equal(model.scaling.x_mean, [-0.5, -1.0, -1.5])
    np.testing.assert_array_equal(model.scaling.y_scale, [2.0, 0.5])
    np.testing.assert_array_equal(model.scaling.y_mean, [-0.5, -2.0])
    np.testing.assert_array_equal(model.params["head_bias"], [0.5, 2.0])
    X = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    near(model.predict(X).swapaxes(0, 1), run(proto, "out", X=X.swapaxes(0, 1)), 2e-6)


SOFTMAX = [node("MatMul", "Z V", "logits"), node("Softmax", "logits")]
REFUSED = [
    ({"extra": SOFTMAX}, "the Softmax node 'out' cannot be read"),
    ({"extra": [node("MatMul", "Z V", "a"), node("MatMul", "a V")]}, "a second dense layer"),
    (
        {
            "extra": [node("Identity", "Z")],
            "before": [node("MatMul", "X S", "X2")],
            "arrays": {"S": np.eye(3, dtype="float32")},
            "lstm": {"X": "X2"},
        },
        "a dense layer before the LSTM, where numlstm has none: give its outputs as X",
    ),
    ({"extra": [node("Neg", "Z"), node("Relu", "Z", "two")], "outputs": ("out", "two")}, "Neg"),
    (
        {
            "extra": [node("MatMul", "Z V"), node("MatMul", "Z V", "two")],
            "outputs": ("out", "two"),
        },
        "more than one output is a network, .* value='out'",
    ),
    ({"extra": [node("Gather", "Z zero")], "arrays": {"zero": np.array(0)}}, "takes step 0"),
    ({"extra": [node("Mul", "Z minus")], "arrays": {"minus": np.float32(-1)}}, "not positive"),
    ({"extra": [node("Missing", "Z nowhere")]}, "the graph lacks 'nowhere'"),
    ({"extra": [helper.make_node("Odd", ["Z"], ["out"], domain="a.b")]}, "another domain, 'a.b'"),
    ({"extra": [node("QLinearMatMul", "Z V")]}, "quantised"),
    ({"extra": [node("DynamicQuantizeLinear", "Z", "a b out")]}, "quantised"),
    ({"extra": [], "outputs": ("X",)}, "none of the outputs"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED)
def test_graphs_that_are_no_network(parts, message):
    with pytest.raises(ValueError, match=message):
        from_onnx(graph(**parts))


def test_a_value_inside_the_graph():
    model = from_onnx(graph(SOFTMAX), value="logits", backend="reference")
    assert model.spec.output_size == 2
    with pytest.raises(ValueError, match="value='nowhere' is no value of the graph"):
        from_onnx(graph(SOFTMAX), value="nowhere")
    with pytest.raises(ValueError, match="'X' is no output of an LSTM"):
        from_onnx(graph(SOFTMAX), value="X")
    with pytest.raises(TypeError, match="value must be the name"):
        from_onnx(graph(SOFTMAX), value=3)


def test_the_last_step_of_both_directions_is_something_else():
    node_, arrays = plain(direction="bidirectional")
    proto = helper.make_model(
        helper.make_graph(
            [node_, node("Gather", "Y last"), node("Identity", "out", "end")],
            "graph",
            [helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["T", "B", 3])],
            [helper.make_tensor_value_info("end", TensorProto.DOUBLE, None)],
            [numpy_helper.from_array(a, n) for n, a in (arrays | {"last": np.array(-1)}).items()],
        )
    )
    with pytest.raises(ValueError, match="reverse direction has read nothing else"):
        from_onnx(proto)


BOTH = {
    "split": [node("Split", "Y", "a b", axis=1)],
    "slice": [node("Slice", "Y i0 i1 i1", "a"), node("Slice", "Y i1 i2 i1", "b")],
}


@pytest.mark.parametrize("kind", BOTH)
def test_directions_that_are_parted_and_joined(kind):
    node_, arrays = plain(direction="bidirectional")
    arrays |= {f"i{k}": np.array([k]) for k in range(3)}

    def joined(*names):
        nodes = [node("Squeeze", f"{name} i1", f"{name}2") for name in "ab"]
        return helper.make_model(
            helper.make_graph(
                [node_, *BOTH[kind], *nodes, helper.make_node("Concat", names, ["out"], axis=2)],
                "graph",
                [helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["T", "B", 3])],
                [helper.make_tensor_value_info("out", TensorProto.DOUBLE, None)],
                [numpy_helper.from_array(array, name) for name, array in arrays.items()],
            ),
            opset_imports=[helper.make_opsetid("", 13)],
        )

    model = from_onnx(joined("a2", "b2"), backend="reference")
    X = np.random.default_rng(0).standard_normal((4, 5, 3))
    expected = run(joined("a2", "b2"), "out", X=X.swapaxes(0, 1))
    near(model.predict(X).swapaxes(0, 1), expected)
    with pytest.raises(ValueError, match="joins parts of the network"):
        from_onnx(joined("b2", "a2"))
    with pytest.raises(ValueError, match="only some directions"):
        from_onnx(joined("a2", "b2"), value="a2")


def two_ways(*nodes, sizes=("T", "B", 3), given=(), **more):
    """A model of one LSTM in both directions, Y (T, 2, B, 2), and more nodes up to `out`."""
    info, (node_, arrays) = helper.make_tensor_value_info, plain(direction="bidirectional", **more)
    node_.output.extend(["Y_h", "Y_c"])
    arrays |= {f"i{k}": np.array([k]) for k in (-1, 0, 1, 2, 3, 4, 10**9)} | {"k-1": np.array(-1)}
    arrays["joined"] = np.array([0, 0, 4])
    proto = helper.make_graph(
        [*given, node_, *nodes],
        "graph",
        [info("X", TensorProto.DOUBLE, sizes)],
        [info("out", TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 14)])


STEPS = [node("Transpose", "Y", "turned", perm=[0, 2, 1, 3]), node("Reshape", "turned joined", "Z")]
APART = [*STEPS, node("Slice", "Z i0 i2 i2", "a"), node("Slice", "Z i2 i4 i2", "b")]
ENDS = [*APART, node("Gather", "a k-1", "end", axis=0), node("Slice", "b i0 i1 i0", "first")]


def test_directions_that_are_parted_by_features():
    proto = two_ways(*APART, node("Concat", "a b", axis=2))
    X = np.random.default_rng(0).standard_normal((4, 5, 3))
    model = from_onnx(proto, backend="reference")
    near(model.predict(X).swapaxes(0, 1), run(proto, "out", X=X.swapaxes(0, 1)))
    with pytest.raises(ValueError, match="joins parts of the network"):
        from_onnx(two_ways(*APART, node("Concat", "b a", axis=2)))


def test_the_ends_of_both_directions():
    """As torch.cat([out[:, -1, :H], out[:, 0, H:]], -1) has them."""
    proto = two_ways(*ENDS, node("Squeeze", "first i0", "c"), node("Concat", "end c", axis=1))
    X = np.random.default_rng(0).standard_normal((4, 5, 3))
    model = from_onnx(proto, backend="reference")
    assert model.output == "last"
    near(model.predict(X), run(proto, "out", X=X.swapaxes(0, 1)))


def test_a_last_step_that_is_an_axis_of_1():
    arrays = {"first": np.array([-1]), "end": np.array([2**31 - 1]), "zero": np.array([0])}
    proto = graph([node("Slice", "Z first end zero")], arrays=arrays)
    X = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    model = from_onnx(proto, backend="reference")
    assert model.output == "last"
    near(model.predict(X), run(proto, "out", X=X.swapaxes(0, 1))[0], 2e-6)


@pytest.mark.parametrize("size", [5, 7, 11, 13])
def test_constants_that_fit_one_number_of_steps(size):
    """Those that stand for open sizes while a graph is read are no sizes of it."""
    arrays = {"last": np.array(size - 1), "ends": np.array([size + 7]), "zero": np.array([0])}
    with pytest.raises(ValueError, match=r"takes step|out of bounds"):
        from_onnx(graph([node("Gather", "Z last")], arrays=arrays), check=False)
    with pytest.raises(ValueError, match="of an axis whose size is open"):
        from_onnx(graph([node("Slice", "Z zero ends zero")], arrays=arrays), check=False)
    arrays["target"] = np.array([size, -1, 2])
    with pytest.raises(ValueError, match=f"target size {size} does not fit|joins parts|has only"):
        from_onnx(graph([node("Reshape", "Z target")], arrays=arrays), check=False)


def test_a_slice_beyond_the_end_of_a_fixed_axis():
    proto = two_ways(*STEPS, node("Slice", "Z i0 i1000000000 i0"), sizes=(7, 5, 3))
    assert from_onnx(proto, backend="reference").output == "sequence"


def test_numbers_that_are_made_of_a_size():
    nodes = [node("Shape", "X", "n", end=1), node("Cast", "n", "m", to=1), node("Mul", "Z m")]
    with pytest.raises(ValueError, match="another network for each number of rows or steps"):
        from_onnx(graph(nodes), check=False)


def test_sizes_that_are_fixed_and_large():
    proto = two_ways(*STEPS, node("Identity", "Z"), sizes=(100_000, 64, 3))
    with pytest.raises(ValueError, match="export it with rows and steps left open, or fewer"):
        from_onnx(proto)


def test_states_that_are_changed_before_they_are_given():
    node_, arrays = plain()
    node_.input.extend(["", "h"])
    info = helper.make_tensor_value_info
    states = info("h0", TensorProto.DOUBLE, [1, "B", 2])

    def given(*nodes):
        arrays["two"] = np.array(2.0)
        proto = helper.make_graph(
            [*nodes, node_], "graph", [info("X", TensorProto.DOUBLE, ["T", "B", 3]), states],
            [info("Y", TensorProto.DOUBLE, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )  # fmt: skip
        return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 14)])

    assert from_onnx(given(node("Identity", "h0", "h")), backend="reference").spec.hidden_size == 2
    with pytest.raises(ValueError, match="its initial state is made by nodes"):
        from_onnx(given(node("Mul", "h0 two", "h")))


def test_layers_of_which_one_has_lengths():
    arrays = {"W2": np.ones((1, 8, 2), "float32"), "lens": np.array([0], np.int32)}
    proto = graph([node("LSTM", "Z W2 R  lens", "Y2", hidden_size=2)], arrays=arrays)
    proto.graph.node[-1].input[:] = ["Z", "W2", "R", "", "lens"]
    del proto.graph.initializer[-1]
    info = helper.make_tensor_value_info("lens", TensorProto.INT32, ["B"])
    proto.graph.input.append(info)
    with pytest.raises(ValueError, match=r"all layers must be of one kind, .* sequence_lens"):
        from_onnx(proto, value="Y2")


def test_an_open_file(tmp_path):
    path = tmp_path / "file.onnx"
    model = drawn(np.random.default_rng(0))
    to_onnx(model, path)
    with open(path, "rb") as file:
        assert from_onnx(file, backend="reference").theta.tobytes() == model.theta.tobytes()
    with pytest.raises(TypeError, match="open it with mode"):
        from_onnx(io.StringIO("hello"))
    with pytest.raises(StorageError, match="the file is damaged"):
        from_onnx(io.BytesIO(b"hello"))


def test_without_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: from_onnx("x.onnx"), lambda: to_onnx(drawn(np.random.default_rng(0)))):
        with pytest.raises(ImportError, match=r'needs onnx: .* install "numlstm\[onnx\]"'):
            call()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_types_of_weights(dtype):
    node_, arrays = plain()
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    info = helper.make_tensor_value_info
    proto = helper.make_model(
        helper.make_graph(
            [node_], "graph", [info("X", kind, [None, None, 3])], [info("Y", kind, None)],
            initializers,
        )
    )  # fmt: skip
    model = from_onnx(proto, backend="reference", check=dtype != "float16")
    assert model.spec.dtype == ("float64" if dtype == "float64" else "float32")
    expected = arrays["W"][0, :2].astype(model.spec.dtype)
    np.testing.assert_array_equal(model.params["weight_ih_l0"][:2], expected)


def test_quantised_weights():
    node_, arrays = plain()
    with pytest.raises(ValueError, match="W of the LSTM node 'Y' must be constant floats"):
        from_onnx(node_, arrays | {"W": arrays["W"].astype(np.int8)})
    proto = graph([node("Identity", "Z")], arrays={"W": np.ones((1, 8, 3), np.int8)})
    with pytest.raises(ValueError, match="W has the type INT8, as quantised weights have"):
        from_onnx(proto)


def test_what_is_no_source(tmp_path):
    node_, arrays = plain()
    with pytest.raises(TypeError, match="pass arrays=, a mapping"):
        from_onnx(node_)
    with pytest.raises(ValueError, match="arrays lacks R"):
        from_onnx(node_, {"W": arrays["W"]})
    with pytest.raises(TypeError, match=r"source must be a path, an onnx.ModelProto"):
        from_onnx(3)
    with pytest.raises(TypeError, match="goes with a single node"):
        from_onnx(graph(SOFTMAX), arrays)
    with pytest.raises(TypeError, match="holds the content of a file"):
        from_onnx(b"\x08")
    with pytest.raises(FileNotFoundError, match="is no file"):
        from_onnx(tmp_path / "nowhere.onnx")


def test_the_check_sees_a_difference(monkeypatch):
    from numlstm.convert.onnx import operator

    monkeypatch.setattr(operator, "ORDER", "ifog")
    with pytest.raises(RuntimeError, match="differ by"):
        from_onnx(*plain())


def test_stacks_of_different_sizes():
    rng = np.random.default_rng(0)
    sizes, width, nodes, arrays, X = (4, 2), 3, [], {"one": np.array([1])}, "X"
    for level, units in enumerate(sizes):
        arrays[f"W{level}"] = rng.standard_normal((1, 4 * units, width))
        arrays[f"R{level}"] = rng.standard_normal((1, 4 * units, units))
        nodes.append(node("LSTM", f"{X} W{level} R{level}", f"Y{level}", hidden_size=units))
        X, width = f"Z{level}", units
        nodes.append(node("Squeeze", f"Y{level} one", X))
    arrays["V"] = rng.standard_normal((2, 3))
    nodes.append(node("MatMul", f"{X} V"))
    info = helper.make_tensor_value_info
    proto = helper.make_model(
        helper.make_graph(
            nodes, "graph", [info("X", 11, [None, None, 3])], [info("out", 11, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )
    )  # fmt: skip
    model = from_onnx(proto, backend="reference")
    assert model.spec.hidden_size == 4
    again = to_onnx(model, states=False)
    assert [n.attribute[0].i for n in again.graph.node if n.op_type == "LSTM"] == [4, 2]
    assert from_onnx(again, backend="reference").theta.tobytes() == model.theta.tobytes()
    assert dataclasses.asdict(from_onnx(to_onnx(model), backend="reference").spec)


# ---- files that are damaged or hostile -------------------------------------------------------


def external(tmp_path, location, **entries):
    """A file whose W stands in another one."""
    proto = graph([node("Identity", "Z")])
    tensor = next(one for one in proto.graph.initializer if one.name == "W")
    data = numpy_helper.to_array(tensor).tobytes()
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = tmp_path / "folder" / "file.onnx"
    path.parent.mkdir()
    path.write_bytes(proto.SerializeToString())
    return path, data


def test_numbers_in_a_file_beside_the_model(tmp_path):
    path, data = external(tmp_path, "weights.bin", offset=8)
    (path.parent / "weights.bin").write_bytes(b"12345678" + data)
    model = from_onnx(path, backend="reference")
    expected = from_onnx(graph([node("Identity", "Z")]), backend="reference")
    assert model.theta.tobytes() == expected.theta.tobytes()
    with pytest.raises(ValueError, match=r"stand in another file, 'weights.bin': pass the path"):
        from_onnx(onnx.load(path, load_external_data=False))


@pytest.mark.parametrize("location", ["../weights.bin", "{}/weights.bin", "link.bin", "", "none"])
def test_numbers_outside_of_the_folder(tmp_path, location):
    path, data = external(tmp_path, location.format(tmp_path))
    (tmp_path / "weights.bin").write_bytes(data)
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(StorageError, match="no file in the folder of the model"):
        from_onnx(path)


@pytest.mark.parametrize(
    "entries", [{"offset": 99}, {"length": 999}, {"length": 8}, {"offset": -8}, {"offset": "x"}]
)
def test_numbers_that_are_not_there(tmp_path, entries):
    path, data = external(tmp_path, "weights.bin", **entries)
    (path.parent / "weights.bin").write_bytes(data)
    with pytest.raises(StorageError, match=r"too short|is damaged"):
        from_onnx(path)


def test_files_that_are_cut_or_something_else(tmp_path):
    whole = graph([node("Identity", "Z")]).SerializeToString()
    path = tmp_path / "file.onnx"
    for data in (b"", b"hello", whole[:-20], whole[:40], whole[::-1]):
        path.write_bytes(data)
        with pytest.raises(StorageError, match=r"is damaged|is no ONNX file"):
            from_onnx(path)


def test_a_small_file_that_asks_for_much_memory():
    sizes = np.array([2**20, 2**20])
    nodes = [node("ConstantOfShape", "sizes", "big"), node("MatMul", "Z big")]
    with pytest.raises(ValueError, match="cannot be read"):
        from_onnx(graph(nodes, arrays={"sizes": sizes}))
    proto = graph([node("Identity", "Z")])
    next(t for t in proto.graph.initializer if t.name == "W").dims[2] = 2**40
    with pytest.raises(StorageError, match="W is damaged"):
        from_onnx(proto)


SOURCES = mutate_onnx.honest()


@pytest.mark.parametrize("block", range(4))
def test_mutants_are_refused_or_read(block):
    """A small form of stress/mutate_onnx.py."""
    outcomes = {mutate_onnx.run(100 * block + case, 1, SOURCES) for case in range(100)}
    assert {"read", "refused", "damaged"} <= outcomes
    assert not [one for one in outcomes if one.startswith("WRONG")]
