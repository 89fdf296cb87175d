"""Random networks of each counterpart of `numlstm.convert`, in both directions.

    python benchmarks/conversions.py torch keras safetensors tflite rtneural --networks 60

What is named must be installed; Keras runs on PyTorch. For each network of the other side: outputs
and states here agree with those there, and so do gradients; what is written of it and read again
has the same bits of theta; and what is written of it computes there what it did.

To add a counterpart, write a `Side` and put it into `SIDES`.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numlstm
from numlstm import convert
from numlstm.convert.check import Outputs

os.environ.setdefault("KERAS_BACKEND", "torch")

Rng = np.random.Generator
BARS = {"float32": 2e-6, "float64": 1e-12}  # relative in L2
ALLOWANCE = 4  # by how often the difference may be that of moving the parameters by an ulp
GRADIENTS = {"float32": 1e-5, "float64": 1e-10}


class Side:
    """A counterpart: how its random networks are made, read, written, run and differentiated."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        """A random network."""
        raise NotImplementedError

    def read(self, network: Any) -> numlstm.LSTM:
        """The network here."""
        raise NotImplementedError

    def write(self, model: numlstm.LSTM) -> Any:
        """A network there."""
        raise NotImplementedError

    def run(self, network: Any, X: Any) -> Outputs:
        """What a network there makes of X."""
        raise NotImplementedError

    def gradients(self, network: Any, X: Any, dY: Any) -> dict[str, Any] | None:
        """Of sum(Y * dY), by the names of the parameters, "X" for X; None where there are none."""
        return None

    def bar(self, model: numlstm.LSTM) -> float:
        """How far both may be apart."""
        return BARS[model.spec.dtype]


class Torch(Side):
    """PyTorch: one nn.LSTM with or without a head."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        import torch

        torch.manual_seed(int(rng.integers(2**31)))
        features, units = int(rng.integers(1, 9)), int(rng.integers(2, 20))
        both, projection = bool(rng.integers(2)), int(rng.integers(units)) * int(rng.integers(2))
        kind = getattr(torch, dtype)
        lstm = torch.nn.LSTM(
            features,
            units,
            int(rng.integers(1, 4)),
            bias=bool(rng.integers(4)),
            batch_first=True,
            bidirectional=both,
            proj_size=projection,
            dtype=kind,
        )
        network = torch.nn.Module()
        network.lstm = lstm
        network.head = None
        if rng.integers(2):
            width = (projection or units) * (1 + both)
            network.head = torch.nn.Linear(width, int(rng.integers(1, 5)), dtype=kind)
        return network

    def read(self, network: Any) -> numlstm.LSTM:
        return convert.from_torch(network, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        module = convert.to_torch(model)
        assert not any(part.training for part in module.modules()), "dropout would draw"
        return module

    def _forward(self, network: Any, X: Any) -> Any:
        Y, state = network.lstm(X)
        return Y if network.head is None else network.head(Y), state

    def run(self, network: Any, X: Any) -> Outputs:
        import torch

        with torch.no_grad():
            Y, (h, c) = self._forward(network, torch.from_numpy(X))
        return Outputs(Y.numpy(), list(h.numpy()), list(c.numpy()))

    def gradients(self, network: Any, X: Any, dY: Any) -> dict[str, Any] | None:
        import torch

        x = torch.from_numpy(X).requires_grad_()
        network.zero_grad()
        (self._forward(network, x)[0] * torch.from_numpy(dY)).sum().backward()
        found = {"X": x.grad.numpy()}
        for name, value in network.lstm.named_parameters():
            if not name.startswith("bias_hh"):
                found[name.replace("bias_ih", "bias")] = value.grad.numpy()
        if network.head is not None:
            for name, value in network.head.named_parameters():
                found[f"head_{name}"] = value.grad.numpy()
        return found


class Safetensors(Torch):
    """Files of safetensors with the names of PyTorch's modules."""

    def read(self, network: Any) -> numlstm.LSTM:
        from safetensors.torch import save

        data = network if isinstance(network, bytes) else save(network.state_dict())
        return convert.from_safetensors(io.BytesIO(data), backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        buffer = io.BytesIO()
        convert.to_safetensors(model, buffer)
        return buffer.getvalue()

    def run(self, network: Any, X: Any) -> Outputs:
        if not isinstance(network, bytes):
            return super().run(network, X)
        from safetensors.torch import load

        module = convert.to_torch(convert.from_safetensors(io.BytesIO(network)), check=False)
        module.load_state_dict(load(network))
        return super().run(module, X)


class Keras(Side):
    """Keras 3: a Sequential of LSTMs of any sizes, in files every second time."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        import keras

        features, count = int(rng.integers(1, 9)), int(rng.integers(1, 4))
        both, last = bool(rng.integers(2)), bool(rng.integers(2))
        names = "tanh", "softsign", "relu", "elu"
        options = {
            "activation": str(rng.choice(names)),
            "recurrent_activation": str(rng.choice(["sigmoid", "hard_sigmoid"])),
            "use_bias": bool(rng.integers(4)),
            "dtype": dtype,
        }
        layers = [keras.Input((None, features), dtype=dtype)]
        for index in range(count):
            sequences = index < count - 1 or not last
            units = int(rng.integers(2, 20))
            layer = keras.layers.LSTM(units, return_sequences=sequences, **options)
            layers.append(keras.layers.Bidirectional(layer, dtype=dtype) if both else layer)
        if rng.integers(2):
            layers.append(keras.layers.Dense(int(rng.integers(1, 5)), dtype=dtype))
        network = keras.Sequential(layers)
        values = [rng.uniform(-0.4, 0.4, array.shape) for array in network.get_weights()]
        network.set_weights(values)
        self.in_file = bool(rng.integers(2))
        return network

    def read(self, network: Any) -> numlstm.LSTM:
        if not self.in_file:
            return convert.from_keras(network, backend="reference")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "network.keras")
            network.save(path)
            return convert.from_keras(path, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        return convert.to_keras(model)

    def run(self, network: Any, X: Any) -> Outputs:
        """The outputs, and the states where one layer with one direction can be asked for them."""
        Y = network(X, training=False).detach().numpy()
        first = network.layers[0]
        if len(network.layers) > 1 or type(first).__name__ != "LSTM":
            return Outputs(Y)
        first.return_state = True
        _, h, c = first(X)
        first.return_state = False
        return Outputs(Y, [h.detach().numpy()], [c.detach().numpy()])

    def gradients(self, network: Any, X: Any, dY: Any) -> dict[str, Any] | None:
        import torch

        x = torch.from_numpy(X).requires_grad_()
        for variable in network.trainable_variables:
            variable.value.grad = None
        (network(x, training=False) * torch.from_numpy(dY)).sum().backward()
        kernel = network.trainable_variables[0].value.grad.numpy()
        return {"X": x.grad.numpy(), "weight_ih_l0": kernel.T}

    def bar(self, model: numlstm.LSTM) -> float:
        """Keras on PyTorch rounds products outside of an LSTM, and its hard sigmoid, to float32."""
        plain = model.spec.head is None and model.cell == numlstm.Cell()
        return BARS[model.spec.dtype] if plain else BARS["float32"]


class Onnx(Side):
    """Graphs of LSTM nodes with any attributes and sizes, in onnxruntime where it keeps to them.

    In float64, with a clip and with layout = 1 it is onnx's evaluator, with the operator's text.
    """

    ACTIVATIONS = (
        *(("Sigmoid", 0), ("Tanh", 0), ("Relu", 0), ("Softsign", 0), ("HardSigmoid", 2)),
        *(("LeakyRelu", 1), ("ScaledTanh", 2), ("Elu", 1)),
    )

    def draw(self, rng: Rng, dtype: str) -> Any:
        from onnx import helper, numpy_helper

        features, both, first = int(rng.integers(1, 9)), bool(rng.integers(2)), rng.random() < 0.2
        attributes = self._attributes(rng, 1 + both)
        peephole, head, width = bool(rng.integers(2)), bool(rng.integers(2)), features
        nodes, arrays, name = [], {}, "X"
        if not first:
            nodes.append(helper.make_node("Transpose", ["X"], ["steps"], perm=[1, 0, 2]))
            name = "steps"
        for level in range(int(rng.integers(1, 4))):
            units = int(rng.integers(2, 20))
            shapes = {
                "W": (1 + both, 4 * units, width),
                "R": (1 + both, 4 * units, units),
                "B": (1 + both, 8 * units),
            }
            shapes |= {"P": (1 + both, 3 * units)} if peephole else {}
            names = {key: f"{key}{level}" for key in shapes}
            inputs = [name, names["W"], names["R"], names["B"], "", "", "", names.get("P", "")]
            for key, shape in shapes.items():
                arrays[names[key]] = rng.uniform(-0.5, 0.5, shape).astype(dtype)
            outputs = [f"{key}{level}" for key in ("Y", "Y_h", "Y_c")]
            layout = {"layout": 1} if first else {}
            nodes.append(
                helper.make_node("LSTM", inputs, outputs, hidden_size=units, **attributes, **layout)
            )
            order = [0, 1, 2, 3] if first else [0, 2, 1, 3]
            nodes.append(helper.make_node("Transpose", [outputs[0]], [f"Z{level}"], perm=order))
            name, width = f"F{level}", (1 + both) * units
            nodes.append(helper.make_node("Reshape", [f"Z{level}", "joined"], [name]))
        arrays["joined"] = np.array([0, 0, -1])
        if not first:
            nodes.append(helper.make_node("Transpose", [name], ["rows"], perm=[1, 0, 2]))
            name = "rows"
        if head:
            arrays["V"] = rng.uniform(-0.5, 0.5, (width, int(rng.integers(1, 5)))).astype(dtype)
            nodes.append(helper.make_node("MatMul", [name, "V"], ["head"]))
            name = "head"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "network",
            [info("X", kind, ["B", "T", features])],
            [info(name, kind, None)],
            [numpy_helper.from_array(array, key) for key, array in arrays.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _attributes(self, rng: Rng, ways: int) -> dict[str, Any]:
        """Of all layers, since numlstm has one cell for all."""
        made: dict[str, Any] = {"input_forget": int(rng.integers(2))}
        if ways == 2:
            made["direction"] = "bidirectional"
        if rng.random() < 0.3:
            made["clip"] = float(np.float32(rng.uniform(0.3, 2)))
        if rng.integers(2):
            places = (0, 4), (1, 3, 5, 6, 7), (1, 3, 5, 6, 7)
            chosen = [self.ACTIVATIONS[rng.choice(place)] for place in places]
            made["activations"] = [name.lower() for name, _ in chosen] * ways
            for index, key in enumerate(("activation_alpha", "activation_beta")):
                count = sum(constants > index for _, constants in chosen)
                if count:
                    made[key] = rng.uniform(0.2, 0.8, count).astype("float32").tolist() * ways
        return made

    def read(self, network: Any) -> numlstm.LSTM:
        return convert.from_onnx(network, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        return convert.to_onnx(model)

    def run(self, network: Any, X: Any) -> Outputs:
        import onnx

        from numlstm.convert.onnx import runs

        made = runs.run(onnx, network, {"X": X})
        Y = made[network.graph.output[0].name]
        return Outputs(Y, *(list(made[name]) for name in ("hn", "cn") if name in made))


class Exported(Torch):
    """PyTorch by way of its exporter to ONNX, the older or the newer one, and back as ONNX."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        network = super().draw(rng, dtype)
        while network.lstm.proj_size:  # which neither exporter has
            network = super().draw(rng, dtype)
        network.forward = lambda X: self._forward(network, X)
        self.newer = bool(rng.integers(2))
        return network.eval()

    def read(self, network: Any) -> numlstm.LSTM:
        import onnx
        import torch

        if isinstance(network, onnx.ModelProto):
            return convert.from_onnx(network, backend="reference")
        X = torch.zeros(3, 11, network.lstm.input_size, dtype=network.lstm.weight_ih_l0.dtype)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "network.onnx")
            torch.onnx.export(network, (X,), path, dynamo=self.newer, verbose=False)
            return convert.from_onnx(path, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        return convert.to_onnx(model)

    def run(self, network: Any, X: Any) -> Outputs:
        import onnx

        if isinstance(network, onnx.ModelProto):
            return Onnx().run(network, X)
        return super().run(network, X)


class Tflite(Side):
    """LSTM operators of TensorFlow Lite with any variants and sizes, in LiteRT; float32."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        from helpers.tflite_networks import random_network

        return random_network(rng)

    def read(self, network: Any) -> numlstm.LSTM:
        from numlstm.convert.tflite.check import written

        content, _ = written(*network, 2, 5)
        return convert.from_tflite(content, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        """There is no way back."""

    def run(self, network: Any, X: Any) -> Outputs:
        from numlstm.convert.tflite.check import run
        from numlstm.convert.tflite.operator import PROJECTION_BIAS

        found = run(*network, X.astype("float32"))
        moved = any(PROJECTION_BIAS in one.direction(0) for one in network[0])
        return found._replace(h=None) if moved else found  # numlstm's is less by the bias


class Rtneural(Side):
    """RTNeural's JSON; its equations in NumPy, as RTNeural is C++."""

    def draw(self, rng: Rng, dtype: str) -> Any:
        width, layers = int(rng.integers(1, 9)), []
        in_shape = [None, None, width]

        def rows(*shape: int) -> Any:
            return rng.uniform(-0.5, 0.5, shape).astype(dtype).tolist()

        for _ in range(int(rng.integers(1, 4))):
            units = int(rng.integers(2, 20))
            weights = [rows(width, 4 * units), rows(units, 4 * units), rows(4 * units)]
            layers.append({"type": "lstm", "weights": weights, "shape": [None, None, units]})
            width = units
        if rng.integers(2):
            outputs = int(rng.integers(1, 5))
            weights = [rows(width, outputs), rows(outputs)]
            layers.append({"type": "dense", "weights": weights, "shape": [None, None, outputs]})
        return {"in_shape": in_shape, "layers": layers}

    def read(self, network: Any) -> numlstm.LSTM:
        data = io.BytesIO(json.dumps(network).encode())
        return convert.from_rtneural(data, backend="reference")

    def write(self, model: numlstm.LSTM) -> Any:
        buffer = io.BytesIO()
        convert.to_rtneural(model, buffer)
        return json.loads(buffer.getvalue())

    def run(self, network: Any, X: Any) -> Outputs:
        from helpers.rtneural_equations import run

        return Outputs(run(network, X))


SIDES: dict[str, type[Side]] = {
    "exported": Exported,
    "torch": Torch,
    "safetensors": Safetensors,
    "keras": Keras,
    "onnx": Onnx,
    "tflite": Tflite,
    "rtneural": Rtneural,
}


def apart(one: Any, other: Any) -> float:
    """The difference, relative in L2."""
    size = float(np.linalg.norm(other)) or 1.0
    return float(np.linalg.norm(np.asarray(one, np.float64) - other) / size)


def outputs(model: numlstm.LSTM, X: Any) -> Outputs:
    """What a network here makes of X."""
    return Outputs(model.predict(X), *model.forward(X)[1])


def nudged(model: numlstm.LSTM, X: Any) -> Outputs:
    """What rounding of the parameters makes of it: far more in ill-conditioned networks."""
    theta = model.theta.copy()
    noise = np.random.default_rng(0).uniform(-1, 1, theta.size)
    model.theta[...] = theta * (1 + noise * np.finfo(theta.dtype).eps)
    found = outputs(model, X)
    model.theta[...] = theta
    return found


def require(what: str, found: float, bar: float) -> None:
    """An error where a difference is above the bar."""
    if not found <= bar:
        raise AssertionError(f"{what}: {found:.1e} apart, the bar is {bar:.1e}")


def compare(ours: Outputs, theirs: Outputs, bar: float, moved: Outputs) -> None:
    """Outputs and states of both sides."""
    require("outputs", apart(ours.Y, theirs.Y), bar + ALLOWANCE * apart(moved.Y, ours.Y))
    for name in ("h", "c"):
        states = [getattr(one, name) for one in (ours, theirs, moved)]
        if any(state is None for state in states):  # not every side tells them
            continue
        for own, other, third in zip(*states, strict=True):
            width = other.shape[1]
            own_bar = bar + ALLOWANCE * apart(third[:, :width], own[:, :width])
            require(f"states {name}", apart(own[:, :width], other), own_bar)


def compare_gradients(side: Side, network: Any, model: numlstm.LSTM, X: Any, rng: Rng) -> None:
    """The gradients of both sides."""
    if model.output == "last":
        return
    dY = rng.standard_normal((*X.shape[:2], model.spec.width)).astype(X.dtype)
    theirs = side.gradients(network, X, dY)
    if theirs is None:
        return
    _, pullback = model.vjp(X)
    found = pullback(dY)
    ours = numlstm.architecture.parameters.split(model.spec.shapes, found.theta)
    for name, gradient in theirs.items():
        own = found.X if name == "X" else ours[name]
        if own.shape == gradient.shape:  # else there are dead units
            bar = GRADIENTS["float32" if side.bar(model) > 1e-9 else model.spec.dtype]
            require(f"gradients of {name}", apart(own, gradient), bar)


def run(side: Side, rng: Rng, dtype: str) -> None:
    """One network there, here, and there again."""
    network = side.draw(rng, dtype)
    model = side.read(network)
    X = rng.standard_normal((3, 11, model.spec.input_size)).astype("float32").astype(dtype)
    theirs = side.run(network, X)
    bar, moved = side.bar(model), nudged(model, X)
    compare(outputs(model, X), theirs, bar, moved)
    compare_gradients(side, network, model, X, rng)
    written = side.write(model)
    if written is None:
        return
    again = side.read(written)
    if again.theta.tobytes() != model.theta.tobytes() or again.spec != model.spec:
        raise AssertionError(f"{model!r} was read as {again!r}, or with other bits")
    compare(side.run(written, X), theirs, bar, moved)


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="*", default=list(SIDES), help=f"of {list(SIDES)}")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    for name in asked.sides:
        side, wrong = SIDES[name](), 0
        for case in range(asked.networks):
            dtype = ("float32", "float64")[case % 2]
            try:
                run(side, np.random.default_rng([asked.seed, case]), dtype)
            except (AssertionError, RuntimeError, ValueError) as error:
                wrong += 1
                print(f"{name}, case {case}, {dtype}: {error}")
        print(f"{name}: {asked.networks} networks, {wrong} wrong", flush=True)
        failed += wrong
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
