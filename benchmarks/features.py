"""What other libraries have: every cell of the table in docs/features.md, with what shows it.

Run `python benchmarks/features.py`; it needs PyTorch, Keras, onnx and onnxruntime. "yes" is run,
"by hand" is run too, with the code that it takes, and "no" is shown by the signature, the
attributes of the operator, or the error. A cell that is wrong stops the script. cuDNN cannot be
run so: its column is from its documentation.
"""

import inspect
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.func import functional_call

import numlstm

PAGE = Path(__file__).resolve().parent.parent / "docs" / "features.md"
COLUMNS = ("PyTorch", "Keras", "ONNX")
B, T, IN, H = 3, 7, 2, 4
X = np.random.default_rng(0).standard_normal((B, T, IN)).astype("float32")
SIGNATURES = {
    "PyTorch": list(  # it hides behind *args; its documented base has the names
        inspect.signature(nn.RNNBase.__init__).parameters
    )[2:],
    "Keras": list(inspect.signature(keras.layers.LSTM.__init__).parameters)[1:],
    "ONNX": [
        *onnx.defs.get_schema("LSTM", 22).attributes,
        *(i.name for i in onnx.defs.get_schema("LSTM", 22).inputs),
    ],
}
PROOFS: dict[tuple[str, str], tuple[str, Callable[[], str]]] = {}


def proof(feature: str, column: str, claim: str):
    """Register what shows a cell."""

    def register(function: Callable[[], str]) -> Callable[[], str]:
        PROOFS[feature, column] = claim, function
        return function

    return register


def lacks(feature: str, words: str, *columns: str) -> None:
    """ "no": none of the names that the layer or operator knows is about it."""
    for column in columns:

        def shown(column: str = column) -> str:
            names = SIGNATURES[column]
            found = [name for name in names if re.search(words, name)]
            assert not found, (feature, column, found)
            return f"none of {', '.join(names)}"

        PROOFS[feature, column] = "no", shown


def close(a, b, atol: float = 1e-5) -> None:
    a, b = (x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x) for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


STATIC = np.random.default_rng(3).standard_normal((B, 2)).astype("float32")


def with_attributes(weight_ih, weight_hh, bias) -> np.ndarray:
    """Outputs of numlstm with attributes, their weights side by side with those of the inputs."""
    model = numlstm.LSTM(IN, H, static_size=2, backend="reference")
    parts = {"weight_ih_l0": weight_ih[:, :IN], "weight_is_l0": weight_ih[:, IN:]}
    for name, value in (parts | {"weight_hh_l0": weight_hh, "bias_l0": bias}).items():
        model.params[name][...] = value
    return model.forward(X, static=STATIC)[0]


# ---- PyTorch ---------------------------------------------------------------------------------


def torch_lstm(inputs: int = IN, **options) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(inputs, H, batch_first=True, **options)


def tensor(array) -> torch.Tensor:
    return torch.tensor(np.asarray(array, "float32"))


def copied(lstm: nn.LSTM, **options) -> numlstm.LSTM:
    """numlstm's network with PyTorch's weights, where they have the same names."""
    model = numlstm.LSTM(IN, H, backend="reference", **options)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        model.params[name][...] = getattr(lstm, name).detach()
    model.params["bias_l0"][...] = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach()
    return model


@proof("Stacked layers", "PyTorch", "yes")
def _():
    lstm = torch_lstm(num_layers=3)
    assert lstm(tensor(X))[1][0].shape == (3, B, H)
    return "nn.LSTM(num_layers=3)"


@proof("Both directions", "PyTorch", "yes")
def _():
    assert torch_lstm(bidirectional=True)(tensor(X))[0].shape == (B, T, 2 * H)
    return "nn.LSTM(bidirectional=True)"


@proof("Residual connections", "PyTorch", "by hand")
def _():
    first, second = torch_lstm(), torch_lstm(H)
    below = first(tensor(X))[0]
    assert (below + second(below)[0]).shape == (B, T, H)
    return "two nn.LSTM and a sum"


@proof("Projection (LSTMP)", "PyTorch", "yes")
def _():
    assert torch_lstm(proj_size=3)(tensor(X))[0].shape == (B, T, 3)
    return "nn.LSTM(proj_size=3)"


def tied(forget_gate: str) -> tuple[nn.LSTM, numlstm.LSTM]:
    """PyTorch's plain cell with weights such that it is the variant, and numlstm's variant."""
    lstm = torch_lstm()
    full = copied(lstm)
    model = numlstm.LSTM(IN, H, cell={"forget_gate": forget_gate}, backend="reference")
    for name, value in model.params.items():  # its rows are those without the forget gate's
        i, _, g, o = np.split(full.params[name], 4)
        value[...] = np.concatenate([i, g, o])
    with torch.no_grad():
        lstm.bias_hh_l0[:] = 0
        lstm.bias_ih_l0[:] = tensor(full.params["bias_l0"])
        for weight in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0):
            weight[H : 2 * H] = -weight[:H] if forget_gate == "coupled" else 0
        if forget_gate == "none":
            lstm.bias_ih_l0[H : 2 * H] = 30.0
    return lstm, model


@proof("Coupled input and forget gate (CIFG)", "PyTorch", "by hand")
def _():
    lstm, model = tied("coupled")
    close(lstm(tensor(X))[0], model.forward(X)[0])
    return "weights of f are minus those of i, so that f = 1 - i; equal to numlstm's to 1e-5"


@proof("No forget gate (1997)", "PyTorch", "by hand")
def _():
    lstm, model = tied("none")
    close(lstm(tensor(X))[0], model.forward(X)[0])
    return "weights of f are 0 and its bias 30, so that f = 1; equal to numlstm's to 1e-5"


@proof("Other activations", "PyTorch", "no")
def _():
    try:
        torch_lstm(nonlinearity="relu")
    except TypeError as error:
        return f"nn.LSTM(nonlinearity='relu'): {error}"
    raise AssertionError


@proof("Forget bias", "PyTorch", "by hand")
def _():
    lstm = torch_lstm()
    with torch.no_grad():
        lstm.bias_ih_l0[H : 2 * H] = 1.0
    return "written into bias_ih_l0[H:2H]; there is no keyword"


@proof("Chrono initialisation", "PyTorch", "by hand")
def _():
    lstm = torch_lstm()
    with torch.no_grad():
        lstm.bias_ih_l0[H : 2 * H] = torch.log(1 + 18 * torch.rand(H))
        lstm.bias_ih_l0[:H] = -lstm.bias_ih_l0[H : 2 * H]
    return "written into bias_ih_l0"


@proof("Learned initial state", "PyTorch", "by hand")
def _():
    h, c = (nn.Parameter(torch.zeros(1, 1, H)) for _ in range(2))
    lstm = torch_lstm()
    lstm(tensor(X), (h.expand(1, B, H).contiguous(), c.expand(1, B, H).contiguous()))[
        0
    ].sum().backward()
    assert h.grad.abs().sum() > 0
    return "a Parameter given as (h, c) has a gradient"


@proof("Dropout between layers", "PyTorch", "yes")
def _():
    lstm = torch_lstm(num_layers=2, dropout=0.5)
    a, b = (lstm(tensor(X))[0] for _ in range(2))
    assert (a != b).any()
    lstm.eval()
    close(lstm(tensor(X))[0], lstm(tensor(X))[0], 0)
    return "nn.LSTM(num_layers=2, dropout=0.5): noise in training, none after eval()"


@proof("Variational dropout on inputs", "PyTorch", "by hand")
def _():
    mask = nn.functional.dropout(torch.ones(B, 1, IN))
    torch_lstm()(tensor(X) * mask)
    return "one mask (B, 1, I) times X"


@proof("DropConnect on weight_hh", "PyTorch", "by hand")
def _():
    lstm = torch_lstm()
    weights = dict(lstm.named_parameters())
    weights["weight_hh_l0"] = nn.functional.dropout(lstm.weight_hh_l0)
    functional_call(lstm, weights, (tensor(X),))[0].sum().backward()
    assert (lstm.weight_hh_l0.grad == 0).any()
    return "functional_call with dropped weights; dropped ones have no gradient"


@proof("Seeded Monte-Carlo dropout", "PyTorch", "by hand")
def _():
    lstm = torch_lstm(num_layers=2, dropout=0.5)

    def drawn(seed):
        torch.manual_seed(seed)
        return lstm(tensor(X))[0]

    close(drawn(1), drawn(1), 0)
    assert (drawn(1) != drawn(2)).any()
    return "train() and torch.manual_seed before every call"


@proof("Ragged batches", "PyTorch", "yes")
def _():
    lstm = torch_lstm()
    packed = nn.utils.rnn.pack_padded_sequence(
        tensor(X), [7, 4, 2], batch_first=True, enforce_sorted=False
    )
    h = lstm(packed)[1][0][0]
    close(h[1], lstm(tensor(X[1:2, :4]))[0][0, -1])
    return "pack_padded_sequence"


RESET_AT = 3


def reset_truth(model: numlstm.LSTM) -> np.ndarray:
    reset = np.zeros((B, T), bool)
    reset[1, RESET_AT] = True
    return model.forward(X, reset=reset)[0]


def in_segments() -> tuple[np.ndarray, np.ndarray, Callable]:
    """Rows cut where a state begins anew, padded, their lengths, and how to put them together."""
    padded = np.zeros((B + 1, T, IN), "float32")
    padded[:B], padded[B, : T - RESET_AT] = X, X[1, RESET_AT:]

    def joined(out):
        out = np.array(out)
        out[1, RESET_AT:] = out[B, : T - RESET_AT]
        return out[:B]

    return padded, np.array([T, RESET_AT, T, T - RESET_AT]), joined


@proof("Reset in mid-sequence", "PyTorch", "by hand")
def _():
    lstm = torch_lstm()
    padded, _, joined = in_segments()  # outputs of the padding are not read
    close(joined(lstm(tensor(padded))[0].detach()), reset_truth(copied(lstm)))
    return "sequences cut there, as rows of their own; equal to numlstm's to 1e-5"


@proof("Missing targets", "PyTorch", "by hand")
def _():
    target = tensor(X[..., :1]).clone()
    target[0, 3] = float("nan")
    there = ~target.isnan()
    lstm = torch_lstm(proj_size=1)
    loss = nn.functional.mse_loss(lstm(tensor(X))[0][there], target[there])
    loss.backward()
    assert lstm.weight_ih_l0.grad.isfinite().all()
    return "the loss of the targets that are there"


@proof("Missing inputs", "PyTorch", "by hand")
def _():
    gappy = np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)
    channels = np.concatenate([np.nan_to_num(gappy), ~np.isnan(gappy)], axis=-1)
    assert torch_lstm(2 * IN)(tensor(channels))[0].isfinite().all()
    assert torch_lstm()(tensor(gappy))[0].isnan().any()
    return "filled, with mask channels; a NaN itself goes through to the output"


@proof("Attributes of whole sequences", "PyTorch", "by hand")
def _():
    lstm = torch_lstm(IN + 2)
    repeated = tensor(STATIC)[:, None].expand(B, T, 2)
    weights = [value.detach().numpy() for value in lstm.parameters()]
    same = with_attributes(*weights[:2], weights[2] + weights[3])
    close(lstm(torch.cat([tensor(X), repeated], dim=2))[0], same)
    return "expand() and cat(), an input of every step; equal to numlstm's to 1e-5"


@proof("Truncated back-propagation", "PyTorch", "by hand")
def _():
    lstm, state, x = torch_lstm(), None, tensor(X).requires_grad_()
    for start in range(0, T, 3):
        out, (h, c) = lstm(x[:, start : start + 3], state)
        state = h.detach(), c.detach()
    out.sum().backward()
    assert (x.grad[:, :6] == 0).all()
    assert (x.grad[:, 6:] != 0).any()
    return "a loop over windows with detach()"


@proof("One long series as parallel streams", "PyTorch", "by hand")
def _():
    series = np.arange(24.0).reshape(3, 8, 1)
    lstm, state = torch_lstm(1), None
    for start in range(0, 8, 4):
        _, state = lstm(tensor(series[:, start : start + 4]), state)
    return "reshape(streams, steps) and a loop over windows"


@proof("One step at a time", "PyTorch", "yes")
def _():
    lstm, cell = torch_lstm(), nn.LSTMCell(IN, H)
    weights = {name.replace("_l0", ""): value for name, value in lstm.state_dict().items()}
    cell.load_state_dict(weights)
    state = None
    for t in range(T):
        state = cell(tensor(X[:, t]), state)
    close(state[0], lstm(tensor(X))[0][:, -1])
    return "nn.LSTMCell"


@proof("Gradients of parameters, input and states", "PyTorch", "yes")
def _():
    lstm, x = torch_lstm(), tensor(X).requires_grad_()
    h, c = (torch.zeros(1, B, H, requires_grad=True) for _ in range(2))
    lstm(x, (h, c))[0].sum().backward()
    assert all(a.grad.abs().sum() > 0 for a in (x, h, c, *lstm.parameters()))
    return "backward()"


def torch_run(steps: int, file: str | None = None, resume: bool = False) -> torch.Tensor:
    torch.manual_seed(0)
    net = nn.LSTM(IN, H, num_layers=2, dropout=0.3, batch_first=True)
    optimizer = torch.optim.Adam(net.parameters())
    if resume:
        saved = torch.load(file)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
    for _ in range(steps):
        optimizer.zero_grad()
        net(tensor(X))[0].square().sum().backward()
        optimizer.step()
    if file and not resume:
        states = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(states | {"rng": torch.get_rng_state()}, file)
    return nn.utils.parameters_to_vector(net.parameters()).detach()


@proof("Stopped runs resume to the bit", "PyTorch", "by hand")
def _():
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "run")
        torch_run(2, file)
        close(torch_run(3, file, resume=True), torch_run(5), 0)
    return "weights, optimiser and random state saved and loaded by code of one's own"


# ---- Keras -----------------------------------------------------------------------------------


def keras_lstm(units: int = H, **options) -> keras.layers.LSTM:
    keras.utils.set_random_seed(0)
    return keras.layers.LSTM(units, return_sequences=True, **options)


def from_keras(layer, **options) -> numlstm.LSTM:
    kernel, recurrent, bias = (np.asarray(w.detach()) for w in (v.value for v in layer.weights[:3]))
    model = numlstm.LSTM(IN, H, backend="reference", **options)
    for name, value in zip(model.params, (kernel.T, recurrent.T, bias), strict=True):
        model.params[name][...] = value
    return model


def keras_truth(layer, variant: str) -> np.ndarray:
    """numlstm's variant with the weights of a Keras layer, but those of the forget gate."""
    full = from_keras(layer)
    model = numlstm.LSTM(IN, H, cell={"forget_gate": variant}, backend="reference")
    for name, value in model.params.items():
        i, _, g, o = np.split(full.params[name], 4)
        value[...] = np.concatenate([i, g, o])
    return model.forward(X)[0]


@proof("Stacked layers", "Keras", "by hand")
def _():
    network = keras.Sequential([keras_lstm(), keras_lstm()])
    assert network(X).shape == (B, T, H)
    return "one layer each: LSTM has no number of layers"


@proof("Both directions", "Keras", "yes")
def _():
    assert keras.layers.Bidirectional(keras_lstm())(X).shape == (B, T, 2 * H)
    return "Bidirectional(LSTM)"


@proof("Residual connections", "Keras", "by hand")
def _():
    below = keras_lstm()(X)
    assert keras.layers.Add()([below, keras_lstm()(below)]).shape == (B, T, H)
    return "two LSTM and Add"


@proof("Coupled input and forget gate (CIFG)", "Keras", "by hand")
def _():
    def coupled(w):  # what a constraint does after every update
        i, _, c, o = keras.ops.split(w, 4, axis=-1)
        return keras.ops.concatenate([i, -i, c, o], axis=-1)

    names = ("kernel_constraint", "recurrent_constraint", "bias_constraint")
    layer = keras_lstm(**dict.fromkeys(names, coupled))
    layer.build((B, T, IN))
    for variable in layer.trainable_variables:
        variable.assign(variable.constraint(variable.value))
    close(layer(X), keras_truth(layer, "coupled"))
    return "constraints: weights of f are minus those of i; equal to numlstm's to 1e-5"


@proof("No forget gate (1997)", "Keras", "by hand")
def _():
    layer = keras_lstm()
    layer.build((B, T, IN))
    for variable, value in zip(layer.weights[:3], (0.0, 0.0, 30.0), strict=True):
        array = np.array(variable.value.detach())
        array[..., H : 2 * H] = value
        variable.assign(array)
    close(layer(X), keras_truth(layer, "none"))
    return "weights of f are 0 and its bias 30; equal to numlstm's to 1e-5"


@proof("Other activations", "Keras", "yes")
def _():
    layer = keras_lstm(activation="softsign", recurrent_activation="hard_sigmoid")
    assert np.abs(np.asarray((layer(X) - keras_lstm()(X)).detach())).max() > 1e-3
    return "LSTM(activation=, recurrent_activation=)"


@proof("Forget bias", "Keras", "0 or 1")
def _():
    found = []
    for one in (False, True):
        layer = keras_lstm(unit_forget_bias=one)
        layer.build((B, T, IN))
        found.append(set(np.asarray(layer.weights[2].value.detach())[H : 2 * H].tolist()))
    assert found == [{0.0}, {1.0}]
    return "LSTM(unit_forget_bias=): 0 or 1"


@proof("Chrono initialisation", "Keras", "by hand")
def _():
    def chrono(shape, dtype=None):
        f = np.log(1 + 18 * np.random.default_rng(0).random(H))
        return keras.ops.convert_to_tensor(np.concatenate([-f, f, 0 * f, 0 * f]), dtype=dtype)

    layer = keras_lstm(bias_initializer=chrono, unit_forget_bias=False)
    layer.build((B, T, IN))
    assert np.asarray(layer.weights[2].value.detach())[0] < 0
    return "an initialiser of one's own"


@proof("Learned initial state", "Keras", "by hand")
def _():
    h, c = (torch.zeros(B, H, requires_grad=True) for _ in range(2))
    keras_lstm()(X, initial_state=[h, c]).sum().backward()
    assert h.grad.abs().sum() > 0
    return "initial_state= has a gradient"


@proof("Dropout between layers", "Keras", "by hand")
def _():
    network = keras.Sequential([keras_lstm(), keras.layers.Dropout(0.5), keras_lstm()])
    assert (network(X, training=True) != network(X, training=True)).any()
    return "a Dropout layer"


def with_weights(layer, kernel, recurrent, bias):
    layer.build((B, T, kernel.shape[0]))
    layer.set_weights(
        [w.astype("float32") for w in (kernel, recurrent, bias)] + layer.get_weights()[3:]
    )
    return layer


@proof("Variational dropout on inputs", "Keras", "yes")
def _():
    bias = np.repeat([50.0, -50.0, 0.0, 50.0], H)  # i = o = 1, f = 0: h is a function of x alone
    layer = keras.layers.LSTM(H, return_sequences=True, dropout=0.5, seed=0)
    with_weights(
        layer, np.tile(np.eye(H), 4) * np.repeat([0, 0, 1, 0], H), np.zeros((H, 4 * H)), bias
    )
    out = np.asarray(layer(np.ones((B, T, H), "float32"), training=True).detach())
    assert (out == out[:, :1]).all()
    assert (out == 0).any()
    assert (out != 0).any()
    return "LSTM(dropout=0.5): the same inputs are dropped at all steps of a sequence"


@proof("Variational dropout on states", "Keras", "yes")
def _():
    bias = np.repeat([50.0, -50.0, 0.0, 50.0], H)
    recurrent = np.tile(3 * np.eye(H), 4) * np.repeat([0, 0, 1, 0], H)
    layer = keras.layers.LSTM(H, return_sequences=True, recurrent_dropout=0.5, seed=0)
    with_weights(layer, np.zeros((IN, 4 * H)), recurrent, bias)
    ones = keras.ops.ones((B, H))
    long = np.zeros((B, 40, IN), "float32")
    out = np.asarray(layer(long, initial_state=[ones, ones], training=True).detach())
    alive = np.abs(out) > 1e-6
    assert (alive == alive[:, :1]).all()
    assert 0 < alive.mean() < 1
    return "LSTM(recurrent_dropout=0.5): units that live after step 1 live after step 40"


@proof("DropConnect on weight_hh", "Keras", "by hand")
def _():
    layer = keras_lstm()
    layer.build((B, T, IN))
    kernel, recurrent, bias = (v.value for v in layer.trainable_variables)
    dropped = nn.functional.dropout(recurrent)
    fixed = [v.value for v in layer.non_trainable_variables]
    out, _ = layer.stateless_call([kernel, dropped, bias], fixed, X)
    assert (out != layer(X)).any()
    return "stateless_call with dropped weights"


@proof("Seeded Monte-Carlo dropout", "Keras", "by hand")
def _():
    def drawn(seed):
        layer = keras_lstm(dropout=0.5, seed=seed)
        return np.asarray(layer(X, training=True).detach())

    close(drawn(1), drawn(1), 0)
    assert (drawn(1) != drawn(2)).any()
    return "training=True, and a seed that the layer is made with"


@proof("Ragged batches", "Keras", "yes")
def _():
    layer = keras_lstm()
    mask = np.arange(T) < np.array([7, 4, 2])[:, None]
    close(layer(X, mask=mask)[1, 3], layer(X[1:2, :4])[0, -1])
    return "mask=, or a Masking layer"


@proof("Reset in mid-sequence", "Keras", "by hand")
def _():
    layer = keras_lstm()
    padded, lengths, joined = in_segments()
    out = layer(padded, mask=np.arange(T) < lengths[:, None])
    close(joined(out.detach()), reset_truth(from_keras(layer)))
    return "sequences cut there, as rows of their own; equal to numlstm's to 1e-5"


def keras_network() -> keras.Sequential:
    layer = keras_lstm(1)
    network = keras.Sequential([keras.Input(batch_shape=(B, 1, IN)), layer])
    network.compile(optimizer="adam", loss="mse")
    return network


@proof("Missing targets", "Keras", "by hand")
def _():
    network = keras.Sequential([keras.Input((T, IN)), keras_lstm(1)])
    network.compile(optimizer="adam", loss="mse")
    there = np.ones((B, T), "float32")
    there[0, 3] = 0
    losses = []
    for value in (0.0, 9.0):
        y = X[..., :1].copy()
        y[0, 3] = value
        losses.append(network.test_on_batch(X, y, sample_weight=there))
    assert losses[0] == losses[1]
    return "sample_weight= 0 and any finite number"


@proof("Missing inputs", "Keras", "by hand")
def _():
    gappy = np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)
    channels = np.concatenate([np.nan_to_num(gappy), ~np.isnan(gappy)], axis=-1)
    assert keras_lstm()(channels).isfinite().all()
    return "filled, with mask channels"


def keras_windows(network) -> list[np.ndarray]:
    return [network.train_on_batch(X[:, t : t + 1], X[:, t : t + 1, :1]) for t in range(T)]


def keras_state_carried(layer, x) -> torch.Tensor:
    """The last window's output; training with stateful=True fails on the backend of PyTorch."""
    state = [keras.ops.zeros((len(x), H))] * 2
    for start in range(0, x.shape[1], 3):
        out, *state = layer(x[:, start : start + 3], initial_state=[s.detach() for s in state])
    return out


@proof("Attributes of whole sequences", "Keras", "by hand")
def _():
    layer, repeated = keras_lstm(), keras.layers.RepeatVector(T)(STATIC)
    out = layer(keras.layers.Concatenate()([X, repeated]))
    kernel, recurrent, bias = (w.value.detach().numpy() for w in layer.weights[:3])
    close(out, with_attributes(kernel.T, recurrent.T, bias))
    return "RepeatVector and Concatenate; equal to numlstm's to 1e-5"


@proof("Truncated back-propagation", "Keras", "by hand")
def _():
    x = tensor(X).requires_grad_()
    keras_state_carried(keras_lstm(return_state=True), x).sum().backward()
    assert (x.grad[:, :6] == 0).all()
    assert (x.grad[:, 6:] != 0).any()
    return "a loop over windows, the state detached and given as initial_state="


@proof("One long series as parallel streams", "Keras", "by hand")
def _():
    streams = np.arange(24, dtype="float32").reshape(3, 8, 1)
    out = keras_state_carried(keras_lstm(return_state=True), tensor(streams))
    assert out.shape == (3, 2, H)
    return "reshape(streams, steps) and the loop over windows"


@proof("One step at a time", "Keras", "yes")
def _():
    layer = keras_lstm()
    whole, state = layer(X), [keras.ops.zeros((B, H))] * 2
    for t in range(T):
        out, state = layer.cell(keras.ops.convert_to_tensor(X[:, t]), state)
    close(out, whole[:, -1].detach())
    return "LSTMCell"


@proof("Gradients of parameters, input and states", "Keras", "yes")
def _():
    layer, x = keras_lstm(), tensor(X).requires_grad_()
    h, c = (torch.zeros(B, H, requires_grad=True) for _ in range(2))
    layer(x, initial_state=[h, c]).sum().backward()
    weights = [v.value for v in layer.trainable_variables]
    assert all(a.grad.abs().sum() > 0 for a in (x, h, c, *weights))
    return "those of its backend: backward() of PyTorch"


@proof("Stopped runs resume to the bit", "Keras", "by hand")
def _():
    def weights(network):
        return np.concatenate([w.ravel() for w in network.get_weights()])

    whole, half = keras_network(), keras_network()
    for _ in range(2):
        keras_windows(whole)
    keras_windows(half)
    with tempfile.TemporaryDirectory() as folder:
        half.save(Path(folder) / "run.keras")  # weights and optimiser, but not the random state
        again = keras.models.load_model(Path(folder) / "run.keras")
    keras_windows(again)
    close(weights(again), weights(whole), 0)
    return "save() between batches in a loop of one's own; the random state is not in the file"


# ---- ONNX ------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
W, R, BIAS = (
    RNG.standard_normal(shape).astype("float32") / 2
    for shape in ((1, 4 * H, IN), (1, 4 * H, H), (1, 8 * H))
)
TIME_FIRST = np.ascontiguousarray(X.swapaxes(0, 1))


def lstm_node(x: str = "X", y: str = "Y", inputs=("W", "R", "B"), **attributes):
    outputs = [y, f"{y}_h", f"{y}_c"]
    return helper.make_node("LSTM", [x, *inputs], outputs, hidden_size=H, **attributes)


def run_onnx(nodes, outputs=("Y",), arrays=(), **inputs):
    """Run nodes by onnxruntime; X is the input, arrays are constants."""
    constants = {"W": W, "R": R, "B": BIAS, "W2": R.copy()} | dict(arrays)
    inputs = {"X": TIME_FIRST} | inputs
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(
                k, helper.np_dtype_to_tensor_dtype(np.asarray(v).dtype), np.shape(v)
            )
            for k, v in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 22)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # not every constant is used
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(list(outputs), inputs)


def from_onnx(**cell) -> numlstm.LSTM:
    """numlstm's network with the weights above: from i, o, f, c to i, f, g, o."""
    gates = [0, 2, 3, 1] if cell.get("forget_gate", "own") not in ("coupled", "none") else [0, 3, 1]

    def rows(array):
        return np.concatenate([np.split(array, 4)[k] for k in gates])

    model = numlstm.LSTM(IN, H, cell=cell or None, backend="reference")
    values = rows(W[0]), rows(R[0]), rows(BIAS[0, : 4 * H] + BIAS[0, 4 * H :])
    for name, value in zip(("weight_ih_l0", "weight_hh_l0", "bias_l0"), values, strict=True):
        model.params[name][...] = value
    return model


def onnx_is(model: numlstm.LSTM, *nodes, **options) -> None:
    (Y,) = run_onnx(nodes, **options)
    close(Y[:, 0].swapaxes(0, 1), model.forward(X)[0])


SQUEEZE = {"one": np.array([1])}


@proof("Stacked layers", "ONNX", "by hand")
def _():
    squeeze = helper.make_node("Squeeze", ["Y1", "one"], ["H1"])
    second = lstm_node("H1", "Y", ("W2", "R", "B"))
    (Y,) = run_onnx([lstm_node(y="Y1"), squeeze, second], arrays=SQUEEZE)
    assert Y.shape == (T, 1, B, H)
    return "two nodes"


@proof("Both directions", "ONNX", "yes")
def _():
    both = {name: np.concatenate([a, a]) for name, a in (("W", W), ("R", R), ("B", BIAS))}
    (Y,) = run_onnx([lstm_node(direction="bidirectional")], arrays=both)
    assert Y.shape == (T, 2, B, H)
    return "direction='bidirectional'"


@proof("Residual connections", "ONNX", "by hand")
def _():
    nodes = [
        lstm_node(y="Y1"),
        helper.make_node("Squeeze", ["Y1", "one"], ["H1"]),
        lstm_node("H1", "Y2", ("W2", "R", "B")),
        helper.make_node("Add", ["Y1", "Y2"], ["Y"]),
    ]
    assert run_onnx(nodes, arrays=SQUEEZE)[0].shape == (T, 1, B, H)
    return "two nodes and Add"


@proof("Peepholes", "ONNX", "yes")
def _():
    P = {"P": np.ones((1, 3 * H), "float32")}
    (Y,) = run_onnx([lstm_node(inputs=("W", "R", "B", "", "", "", "P"))], arrays=P)
    assert np.abs(Y - run_onnx([lstm_node()])[0]).max() > 1e-3
    return "input P"


@proof("Coupled input and forget gate (CIFG)", "ONNX", "yes")
def _():
    onnx_is(from_onnx(forget_gate="coupled"), lstm_node(input_forget=1))
    return "input_forget=1; equal to numlstm's to 1e-5"


@proof("No forget gate (1997)", "ONNX", "by hand")
def _():
    arrays = {"W": W.copy(), "R": R.copy(), "B": BIAS.copy()}
    rows = slice(2 * H, 3 * H)
    arrays["W"][:, rows], arrays["R"][:, rows], arrays["B"][:, rows] = 0, 0, 30
    onnx_is(from_onnx(forget_gate="none"), lstm_node(), arrays=arrays)
    return "weights of f are 0 and its bias 30; equal to numlstm's to 1e-5"


@proof("Clipped pre-activations", "ONNX", "yes")
def _():
    clipped, free = run_onnx([lstm_node(clip=0.5)])[0][:3], run_onnx([lstm_node()])[0][:3]
    # three steps: then a cell passes 0.5, and onnxruntime leaves the last of the clips out
    close(clipped[:, 0].swapaxes(0, 1), from_onnx(activation_clip=0.5).forward(X[:, :3])[0])
    assert (clipped != free).any()
    return "clip=0.5; equal to numlstm's to 1e-5 where onnxruntime clips all that it should"


@proof("Other activations", "ONNX", "yes")
def _():
    names = ("Relu", "Softsign", "Tanh")
    model = from_onnx(activations=("relu", "softsign", "tanh"))
    onnx_is(model, lstm_node(activations=names))
    return f"activations={names}; equal to numlstm's to 1e-5"


@proof("Forget bias", "ONNX", "by hand")
def _():
    biased = BIAS.copy()
    biased[:, 2 * H : 3 * H] = 1
    run_onnx([lstm_node()], arrays={"B": biased})
    return "a part of the input B"


@proof("Chrono initialisation", "ONNX", "by hand")
def _():
    f = np.log(1 + 18 * np.random.default_rng(0).random(H))
    biased = np.concatenate([-f, 0 * f, f, np.zeros(5 * H)])[None].astype("float32")
    run_onnx([lstm_node()], arrays={"B": biased})
    return "a part of the input B"


@proof("Learned initial state", "ONNX", "by hand")
def _():
    ones = {"h": np.ones((1, B, H), "float32")}
    (Y,) = run_onnx([lstm_node(inputs=("W", "R", "B", "", "h", "h"))], arrays=ones)
    assert (run_onnx([lstm_node()])[0] != Y).any()
    return "a constant as initial_h and initial_c"


NOISE = {"rate": np.float32(0.5), "on": np.bool_(True)}


def dropped(what: str, name: str):
    return helper.make_node("Dropout", [what, "rate", "on"], [name], seed=3)


@proof("Dropout between layers", "ONNX", "by hand")
def _():
    squeeze = helper.make_node("Squeeze", ["Y1", "one"], ["H1"])
    second = lstm_node("D", "Y", ("W2", "R", "B"))
    nodes = [lstm_node(y="Y1"), squeeze, dropped("H1", "D"), second]
    assert (run_onnx(nodes, ("Y", "D"), SQUEEZE | NOISE)[1] == 0).any()
    return "a node Dropout with training_mode"


@proof("Variational dropout on inputs", "ONNX", "by hand")
def _():
    ones = {"ones": np.ones((1, B, IN), "float32")} | NOISE
    nodes = [dropped("ones", "M"), helper.make_node("Mul", ["X", "M"], ["D"]), lstm_node("D")]
    noisy = run_onnx(nodes, ("Y", "D"), ones)[1] / TIME_FIRST
    assert ((noisy == 0) == (noisy[:1] == 0)).all()
    return "a node Dropout of ones (1, B, I), times X"


@proof("DropConnect on weight_hh", "ONNX", "by hand")
def _():
    nodes = [dropped("R", "D"), lstm_node(inputs=("W", "D", "B"))]
    assert (run_onnx(nodes, arrays=NOISE)[0] != run_onnx([lstm_node()])[0]).any()
    return "a node Dropout of R"


@proof("Seeded Monte-Carlo dropout", "ONNX", "by hand")
def _():
    nodes = [dropped("X", "D"), lstm_node("D")]
    close(run_onnx(nodes, arrays=NOISE)[0], run_onnx(nodes, arrays=NOISE)[0], 0)
    return "the seed of a node Dropout; a new session begins it anew"


@proof("Ragged batches", "ONNX", "yes")
def _():
    lengths = {"lengths": np.array([7, 4, 2], np.int32)}
    node = lstm_node(inputs=("W", "R", "B", "lengths"))
    Y, last = run_onnx([node], ("Y", "Y_h"), lengths)
    close(last[0, 1], Y[3, 0, 1])
    return "input sequence_lens"


@proof("Reset in mid-sequence", "ONNX", "by hand")
def _():
    padded, lengths, joined = in_segments()
    node = lstm_node(inputs=("W", "R", "B", "lengths"))
    rows = np.ascontiguousarray(padded.swapaxes(0, 1))
    (Y,) = run_onnx([node], arrays={"lengths": lengths.astype(np.int32)}, X=rows)
    close(joined(Y[:, 0].swapaxes(0, 1)), reset_truth(from_onnx()))
    return "sequences cut there, as rows of their own; equal to numlstm's to 1e-5"


@proof("Missing inputs", "ONNX", "by hand")
def _():
    gappy = np.where(np.random.default_rng(1).random(TIME_FIRST.shape) < 0.3, np.nan, TIME_FIRST)
    nodes = [
        helper.make_node("IsNaN", ["X"], ["gap"]),
        helper.make_node("Where", ["gap", "zero", "X"], ["filled"]),
        helper.make_node("Where", ["gap", "zero", "unit"], ["seen"]),
        helper.make_node("Concat", ["filled", "seen"], ["both"], axis=2),
        lstm_node("both", "Y", ("WW", "R", "B")),
    ]
    arrays = {"zero": np.float32(0), "unit": np.ones_like(TIME_FIRST)}
    arrays["WW"] = np.concatenate([W, W], axis=2)
    assert np.isfinite(run_onnx(nodes, arrays=arrays, X=gappy.astype("float32"))[0]).all()
    return "nodes IsNaN, Where and Concat"


@proof("Attributes of whole sequences", "ONNX", "by hand")
def _():
    nodes = [
        helper.make_node("Expand", ["static", "shape"], ["repeated"]),
        helper.make_node("Concat", ["X", "repeated"], ["both"], axis=2),
        lstm_node("both", "Y", ("WW", "R", "B")),
    ]
    wide = np.concatenate([W, W], axis=2)
    arrays = {"shape": np.array([T, B, 2]), "WW": wide}
    (out,) = run_onnx(nodes, arrays=arrays, static=STATIC[None])
    order = [0, 2, 3, 1]  # of the gates i, o, f, c

    def gates(array):
        return np.concatenate([np.split(array, 4)[gate] for gate in order])

    bias = gates(BIAS[0, : 4 * H] + BIAS[0, 4 * H :])
    same = with_attributes(gates(wide[0]), gates(R[0]), bias)
    close(out[:, 0].swapaxes(0, 1), same)
    return "nodes Expand and Concat; equal to numlstm's to 1e-5"


@proof("One step at a time", "ONNX", "by hand")
def _():
    node = lstm_node(inputs=("W", "R", "B", "", "h", "c"))
    state = {name: np.zeros((1, B, H), "float32") for name in "hc"}
    for t in range(T):
        Y, h, c = run_onnx([node], ("Y", "Y_h", "Y_c"), X=TIME_FIRST[t : t + 1], **state)
        state = {"h": h, "c": c}
    close(Y[0, 0], run_onnx([lstm_node()])[0][-1, 0])
    return "a sequence of one step; Y_h and Y_c go in again"


def no_training() -> str:
    names = [name for name in dir(onnxruntime.InferenceSession) if not name.startswith("_")]
    assert not any(re.search("grad|train|backward|optim", name) for name in names)
    return f"InferenceSession has no gradient: {', '.join(names)}"


for _feature in (
    "Missing targets",
    "Truncated back-propagation",
    "One long series as parallel streams",
    "Gradients of parameters, input and states",
    "Stopped runs resume to the bit",
):
    PROOFS[_feature, "ONNX"] = "no", no_training

lacks("Projection (LSTMP)", "proj", "Keras", "ONNX")
lacks("Peepholes", "peep|^P$", "PyTorch", "Keras")
lacks("Layer normalisation", "norm", *COLUMNS)
lacks("Clipped pre-activations", "clip", "PyTorch", "Keras")
lacks("Clipped cell", "cell|clip_c", *COLUMNS)
lacks("Clipped projection", "clip", "PyTorch", "Keras")
lacks("Clipped projection", "proj", "ONNX")
lacks("Variational dropout on states", "recurrent_dropout|state_dropout", "PyTorch", "ONNX")
lacks("Recurrent dropout on the candidate", "candidate|recurrent_dropout", "PyTorch", "ONNX")
lacks("Zoneout", "zone", *COLUMNS)


@proof("Recurrent dropout on the candidate", "Keras", "no")
def _():
    names = [name for name in SIGNATURES["Keras"] if "dropout" in name]
    assert names == ["dropout", "recurrent_dropout"]
    return "dropout is that of inputs, recurrent_dropout that of states, as run above"


# ---- the table -------------------------------------------------------------------------------


def table() -> dict[str, list[str]]:
    """Feature -> the cells of its row."""
    found = re.search(r"^\| Feature \|.*\n\|[-|: ]+\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert found
    rows = [[c.strip() for c in line.strip("|\n").split("|")] for line in found[1].splitlines()]
    return {row[0]: row[1:] for row in rows}


def main() -> None:
    rows = table()
    assert set(PROOFS) == {(feature, column) for feature in rows for column in COLUMNS}
    for feature, cells in rows.items():
        print(feature)
        for column, said in zip(COLUMNS, cells[1:4], strict=True):
            claim, shown = PROOFS[feature, column]
            evidence = shown()
            right = "" if claim == said else f"   WRONG: the page says {said!r}"
            print(f"    {column:8s} {claim:8s} {evidence}{right}")
    wrong = [k for k, (c, _) in PROOFS.items() if rows[k[0]][1 + COLUMNS.index(k[1])] != c]
    if wrong:
        raise SystemExit(f"wrong cells: {wrong}")


if __name__ == "__main__":
    main()
