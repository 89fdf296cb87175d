"""Files of TensorFlow Lite: stored truths of LiteRT, what is refused, the check, hostile files."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

import mutate_tflite
import numlstm
from numlstm.convert import from_tflite
from numlstm.convert.check import Outputs
from numlstm.convert.tflite import reading
from numlstm.convert.tflite.files import read_graph
from numlstm.utils.files import StorageError

STORED = dict(np.load(Path(__file__).with_name("tflite_files.npz")))
X = STORED["X"]
FILES = {k.removesuffix(".file"): v.tobytes() for k, v in STORED.items() if k.endswith(".file")}
TRUTHS = [name for name in FILES if f"{name}.Y" in STORED]
OPTIONS = {"probabilities": {"logits": True}}
BIAS = {"projection_bias", "projection_bias_and_head", "projection_bias_in_a_stack"}
BIAS |= {"both_directions_side_by_side"}

REFUSED = {
    "int8_weights": "INT8, a quantised tensor",
    "quantised_input": "the model is quantised",
    "basic_kernel": "basic kernel",
    "diagonal": "diagonals",
    "dense_before": "a dense layer, FULLY_CONNECTED stands before the LSTM.*lstm=0",
    "reversed_before": "from the end alone",
    "reversed_behind": "from the end alone",
    "flattened": "would read all steps at once",
    "first_step": "something else than the last step",
    "first_step_of_any_number": "something else than the last step",
    "last_row": "something else than the last step",
    "projection_bias_normalised": "a projection has a bias beside layer_norm",
    "projection_bias_clipped": "a projection has a bias beside proj_clip",
    "no_activation": "received NONE",
    "relu6": "received RELU6",
    "two_heads": r"goes to \['FULLY_CONNECTED', 'FULLY_CONNECTED'\]",
    "two_dense": "one dense layer alone",
    "dense_relu": "has an activation",
    "softmax": "logits=True",
    "no_lstm": r"no LSTM operator among \['FULLY_CONNECTED'\]",
    "two_variants": "must be of one variant",
    "mixed_directions": "two directions, or none",
    "steps_for_rows": "reads batch x time x features",
    "reverse_first": "the forward one first",
    "auxiliary_input": "auxiliary input",
    "given_states": "must be variables",
    "without_a_bias": "lacks some of its tensors",
    "too_few_bytes": "has 56 bytes",
    "not_finite": "NaN or infinite",
    "negative_clip": "cell_clip must be at least 0",
    "projection_of_one_axis": "weight_hr of layer 0",
    "circle": "RESHAPE writes a tensor that was written or read before",
    "dense_without_weights": "FULLY_CONNECTED lacks inputs",
    "two_outputs": "head=False takes the LSTM alone, head=True the dense layer",
    "two_sizes": "different numbers of units",
}


def read(name, **options):
    return from_tflite(FILES[name], check=False, backend="reference", **options)


def near(have, want, bar=2e-6):
    assert have.shape == want.shape
    assert np.linalg.norm(have - want) <= bar * np.linalg.norm(want)


def softmax(Y):
    e = np.exp(Y - Y.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", TRUTHS)
def test_what_litert_computes(name):
    model = read(name, **OPTIONS.get(name, {}))
    assert model.spec.dtype == "float32"
    Y = model.predict(X)
    near(softmax(Y) if name == "probabilities" else Y, STORED[f"{name}.Y"])
    assert model.output == ("last" if Y.ndim == 2 else "sequence")
    _, (h, c) = model.forward(X)
    for layer, (own_h, own_c) in enumerate(zip(h, c, strict=True)):
        want_h, want_c = STORED[f"{name}.h{layer}"], STORED[f"{name}.c{layer}"]
        near(own_c[:, : want_c.shape[1]], want_c)  # without dead units
        if name not in BIAS:
            near(own_h[:, : want_h.shape[1]], want_h)


def test_variants_are_those_of_the_kernel():
    assert read("plain").cell == numlstm.Cell()
    coupled = read("coupled_peephole").cell
    assert coupled == numlstm.Cell(forget_gate="coupled", peephole=True)
    normalised = read("normalised_peephole").cell
    assert normalised == numlstm.Cell(peephole=True, layer_norm="gates", layer_norm_epsilon=1e-8)
    clipped = read("clipped")
    assert clipped.spec.proj_size == clipped.spec.hidden_size == 5
    assert clipped.cell.cell_clip == float(np.float32(0.2))
    assert clipped.cell.proj_clip == float(np.float32(0.05))
    assert read("plain").cell.cell_clip is None  # 0 is off
    assert read("relu").cell.activations[0].name == "sigmoid"
    assert read("both_directions").spec.bidirectional


def test_a_coupled_cell_has_the_rows_of_the_forget_gate_negated():
    graph = read_graph(FILES["coupled_peephole"])
    (operator,) = graph.operators
    params = read("coupled_peephole").params
    for name, place, first in (("weight_ih_l0", 2, 5), ("bias_l0", 13, 5), ("peephole_l0", 10, 5)):
        assert (params[name][:first] == -graph.constant(operator.inputs[place])).all()
    assert (params["weight_ih_l0"][5:10] == graph.constant(operator.inputs[3])).all()


def test_a_normalised_coupled_cell_keeps_the_gains():
    graph = read_graph(FILES["normalised_coupled"])
    (operator,) = graph.operators
    gain = read("normalised_coupled").params["gain_l0"]
    assert (gain[:5] == graph.constant(operator.inputs[21])).all()


def test_the_bias_of_a_projection_is_less_in_the_hidden_state():
    graph = read_graph(FILES["projection_bias"])
    bias = graph.constant(graph.operators[0].inputs[17])
    model = read("projection_bias")
    assert (model.params["initial_h_l0"] == -bias).all()
    near(model.params["head_bias"], bias)
    _, (h, _) = model.forward(X)
    near(h[0] + bias, STORED["projection_bias.h0"])


def test_what_stands_around_is_left_out_where_it_is_said():
    graph = read_graph(FILES["dense_before"])
    weight, bias = (graph.constant(index) for index in graph.operators[0].inputs[1:])
    model = read("dense_before", lstm=0)
    assert (model.spec.input_size, model.spec.head) == (4, None)
    assert weight.shape == (4, 3)
    assert bias.shape == (4,)
    assert read("flattened", head=False).spec.head is None
    assert read("two_outputs", head=False).spec.head is None
    assert read("two_outputs", head=True).spec.output_size == 2
    assert read("two_heads", head=False).spec.num_layers == 1
    assert read("two_variants", lstm=1).cell.forget_gate == "coupled"
    assert read("two_variants", lstm=0).cell.forget_gate == "gate"
    stack = read("projection_bias_in_a_stack", lstm=[0, 1])
    assert (stack.spec.num_layers, stack.spec.output_size) == (2, 4)
    near(read("both_directions", lstm=[0, 1]).predict(X), STORED["both_directions.Y"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", {"lstm": 1}, "there are 1, from 0 on"),
        ("plain", {"lstm": [0, 0]}, "different LSTM operators"),
        ("plain", {"lstm": []}, "different LSTM operators"),
        ("stack_of_sizes", {"lstm": [1, 0]}, "no chain|further"),
        ("plain", {"head": True}, "no dense layer behind the LSTM"),
        ("flattened", {"lstm": 0}, "would read all steps"),
        ("plain", {"backend": "gpu"}, "gpu"),
    ],
)
def test_what_is_asked_for_must_be_there(name, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        from_tflite(FILES[name], **{"check": False, "backend": "reference"} | options)


@pytest.mark.parametrize("name", [name for name in FILES if name not in TRUTHS])
def test_what_numlstm_does_not_have_is_refused(name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        read(name)


def test_files_and_their_content_are_read(tmp_path):
    path = tmp_path / "network.tflite"
    path.write_bytes(FILES["plain"])
    options = {"check": False, "backend": "reference"}
    for source in (path, str(path), io.BytesIO(FILES["plain"]), bytearray(FILES["plain"])):
        assert (from_tflite(source, **options).theta == read("plain").theta).all()
    path.write_bytes(FILES["relu6"])
    with pytest.raises(ValueError, match=r"network\.tflite' is refused: .*RELU6") as caught:
        from_tflite(path, **options)
    assert caught.type is ValueError  # the file is not damaged
    path.write_bytes(b"no such thing")
    with pytest.raises(StorageError, match="TFL3"):
        from_tflite(path, **options)
    with pytest.raises(FileNotFoundError):
        from_tflite(tmp_path / "none.tflite", **options)


def test_without_litert_a_warning_says_that_nothing_was_checked(monkeypatch):
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    with pytest.warns(UserWarning, match=r"numlstm\[tflite\]"):
        from_tflite(FILES["plain"], backend="reference")


def test_another_side_that_computes_something_else_is_seen(monkeypatch):
    states = [np.zeros((3, 5), np.float32)]
    wrong = Outputs(np.zeros((3, 7, 5), np.float32), states, states)
    monkeypatch.setattr(reading, "run", lambda *arguments: wrong)
    with pytest.raises(RuntimeError, match="outputs of TensorFlow Lite"):
        from_tflite(FILES["plain"], backend="reference")


def test_hostile_files_are_refused():
    sources = mutate_tflite.honest()
    for case in range(400):
        rng = np.random.default_rng([7, case])
        data = mutate_tflite.mutated(sources[rng.integers(len(sources))], rng)
        assert mutate_tflite.use(data) in ("used", "refused", "large")
