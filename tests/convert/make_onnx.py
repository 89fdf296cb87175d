"""Make onnx_files.npz: files as exporters write them, with what PyTorch computes.

Needs onnx, onnxscript and torch; the tests need onnx only. Run it:
python tests/convert/make_onnx.py

Every file is of an nn.LSTM with an nn.Linear behind it, by the exporter of TorchScript ("legacy")
and the one of torch.export ("dynamo"), with batch and time free ("free") or fixed.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

ROWS, STEPS = 4, 6
NETWORKS = {
    "one layer": {},
    "two layers, both directions": {"bidirectional": True, "num_layers": 2},
    "the last step": {"taken": "step"},
    "the last state": {"taken": "state", "num_layers": 2},
    "the last states of both directions": {"taken": "states", "bidirectional": True},
    "steps first": {"batch_first": False},
    "given states": {"num_layers": 2, "states": True},
}


class Network(torch.nn.Module):
    def __init__(self, taken=None, states=False, **options):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 5, **{"batch_first": True} | options)
        self.head = torch.nn.Linear(10 if options.get("bidirectional") else 5, 2)
        self.taken, self.states = taken, states

    def forward(self, X, h=None, c=None):
        Y, (h, c) = self.lstm(X) if h is None else self.lstm(X, (h, c))
        if self.taken == "step":
            Y = Y[:, -1]
        elif self.taken == "state":
            Y = h[-1]
        elif self.taken == "states":
            Y = torch.cat((h[-2], h[-1]), dim=-1)
        return (self.head(Y), h, c) if self.states else self.head(Y)


def export(network, inputs, path, dynamo, free):
    options = {"dynamo": dynamo, "verbose": False}
    if dynamo:
        options["external_data"] = False
        auto = torch.export.Dim.AUTO
        if free:
            options["dynamic_shapes"] = ({0: auto, 1: auto}, *[{1: auto}] * (len(inputs) - 1))
    elif free:
        names = ["X", "h", "c"][: len(inputs)]
        axes = {name: {1: "batch"} for name in names[1:]}
        options |= {"input_names": names, "dynamic_axes": {"X": {0: "zero", 1: "one"}, **axes}}
    torch.onnx.export(network, inputs, path, **options)


def main():
    torch.manual_seed(0)
    stored = {"torch_version": np.array(torch.__version__)}
    for name, options in NETWORKS.items():
        network = Network(**options).eval()
        X = torch.randn(ROWS, STEPS, 3)
        inputs = (X, *(torch.zeros(2, ROWS, 5),) * 2) if options.get("states") else (X,)
        with torch.no_grad():
            Y = network(*inputs)
        stored[f"{name}.X"] = X.numpy()
        stored[f"{name}.Y"] = (Y[0] if isinstance(Y, tuple) else Y).numpy()
        for dynamo in False, True:
            for free in False, True:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "file.onnx"
                    export(network, inputs, path, dynamo, free)
                    data = np.frombuffer(path.read_bytes(), np.uint8)
                kind = f"{'dynamo' if dynamo else 'legacy'}, {'free' if free else 'fixed'}"
                stored[f"{name}.{kind}"] = data
                print(name, kind, data.size)
    np.savez_compressed(Path(__file__).with_name("onnx_files.npz"), **stored)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
