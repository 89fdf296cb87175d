"""Models of ONNX made of networks: one LSTM node for each layer, and plain nodes around them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numlstm._version import __version__
from numlstm.convert.onnx.files import DOUBLE, FLOAT, INT32
from numlstm.convert.onnx.operator import arrays_of, attributes_of
from numlstm.convert.onnx.reader import LEARNED
from numlstm.convert.sizes import hidden_size
from numlstm.convert.weights import Weights
from numlstm.data.scaling import Scaling
from numlstm.utils.types import Array

_OPSET, _IR = 17, 8  # of 2022, which what runs on devices knows


class Writer:
    """Nodes and constants of a graph, one behind the other."""

    def __init__(self, onnx: Any, weights: Weights):
        self.onnx, self.weights = onnx, weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.units = hidden_size(weights.layers[0])
        self.dtype = weights.layers[0]["weight_ih"].dtype
        self.kind = DOUBLE if self.dtype == np.float64 else FLOAT

    def node(
        self, op: str, inputs: Sequence[str], output: str | Sequence[str], **named: Any
    ) -> str:
        """Add a node; the name of its first output."""
        outputs = [output] if isinstance(output, str) else list(output)
        name = f"node/{outputs[0]}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), outputs, name, **named))
        return outputs[0]

    def constant(self, name: str, array: Any) -> str:
        """Add a constant; its name."""
        self.constants[name] = np.asarray(array, order="C")
        return name

    def integers(self, *values: int) -> str:
        """Add a constant of sizes or axes."""
        return self.constant("int64/" + "_".join(map(str, values)), np.array(values, np.int64))

    # ---- parts of the graph ------------------------------------------------------------------

    def standardised(self, scaling: Scaling | None) -> str:
        """The inputs in the network's units."""
        if scaling is None:
            return "X"
        name = self.node("Cast", ["X"], "X/float64", to=DOUBLE)
        for op, what in ("Sub", "x_mean"), ("Div", "x_scale"):
            array = np.asarray(getattr(scaling, what), np.float64)
            name = self.node(op, [name, self.constant(what, array)], f"X/{op}")
        return self.node("Cast", [name], "X/standardised", to=self.kind)

    def in_units(self, name: str, scaling: Scaling | None, width: int) -> str:
        """The outputs in the units of the data."""
        if scaling is None or scaling.y_mean is None:
            return name
        name = self.node("Cast", [name], "Y/float64", to=DOUBLE)
        pairs = zip(("Mul", "Add"), ("y_scale", "y_mean"), scaling.of_outputs(width), strict=True)
        for op, what, array in pairs:
            name = self.node(op, [name, self.constant(what, array)], f"Y/{op}")
        return self.node("Cast", [name], "Y/in_units", to=self.kind)

    def states(self, X: str, given: bool) -> list[tuple[str, str]]:
        """The initial h and c of every level, one row for each of the batch."""
        levels = list(self.weights.levels())
        learned = "initial_h" in self.weights.layers[0]
        if not given and not learned:
            return [("", "")] * len(levels)
        self.node("Shape", [X], "shape", start=1, end=2)  # time first: the rows
        one = self.integers(1)
        self.node("Concat", [one, "shape", one], "rows", axis=0)
        names = []
        for short in "hc":
            first = [
                layer.get(f"initial_{short}", np.zeros(self.units, self.dtype))
                for layer in self.weights.layers
            ]
            state = self.constant(f"{short}0", np.stack(first)[:, None])
            wide = self.node("Expand", [state, "rows"], f"{short}0/rows")
            parts = [wide]
            if len(levels) > 1:
                parts = [f"{short}0/layer{level}" for level in range(len(levels))]
                sizes = self.integers(*[self.weights.directions] * len(levels))
                self.node("Split", [wide, sizes], parts, axis=0)
            names.append(parts)
        return list(zip(*names, strict=True))

    def lengths(self, X: str) -> str:
        """Lengths of all rows, none beyond the end."""
        for name, start in ("steps", 0), ("row_count", 1):
            self.node("Shape", [X], name, start=start, end=start + 1)
        steps = self.node("Cast", ["steps"], "steps/int32", to=INT32)
        self.constant("sequence_lens", np.array([2**31 - 1], np.int32))
        cut = self.node("Min", ["sequence_lens", steps], "sequence_lens/cut")
        return self.node("Expand", [cut, "row_count"], "sequence_lens/rows")

    def lstm(self, level: int, X: str, lens: str, state: tuple[str, str]) -> tuple[str, str, str]:
        """One node; the names of Y (T, B, W), Y_h and Y_c."""
        layers = list(self.weights.levels())[level]
        cell, both = self.weights.cell, self.weights.directions == 2
        at = f"layer{level}"
        arrays = arrays_of(layers, cell)
        named = {name: self.constant(f"{at}/{name}", array) for name, array in arrays.items()}
        inputs = [X, named["W"], named["R"], named["B"], lens, *state, named.get("P", "")]
        while not inputs[-1]:
            inputs.pop()
        outputs = [f"{at}/{name}" for name in ("Y", "Y_h", "Y_c")]
        attributes = attributes_of(cell, self.weights.directions, hidden_size(layers[0]))
        Y = self.node("LSTM", inputs, outputs, **attributes)
        if not both:
            Y = self.node("Squeeze", [Y, self.integers(1)], f"{at}/steps")
        else:
            turned = self.node("Transpose", [Y], f"{at}/turned", perm=[0, 2, 1, 3])
            Y = self.node("Reshape", [turned, self.integers(0, 0, -1)], f"{at}/steps")
        return Y, outputs[1], outputs[2]

    def last(self, states: Sequence[str]) -> str:
        """The last layer's outputs once each direction has read all steps, (B, W)."""
        total = states[-1]
        if self.weights.residual:
            total = states[0]
            for level, state in enumerate(states[1:], 1):
                total = self.node("Add", [total, state], f"layer{level}/last_sum")
        if self.weights.directions == 1:
            return self.node("Squeeze", [total, self.integers(0)], "last")
        turned = self.node("Transpose", [total], "last/turned", perm=[1, 0, 2])
        return self.node("Reshape", [turned, self.integers(0, -1)], "last")

    def headed(self, name: str) -> tuple[str, int]:
        """Outputs of the head, and their number."""
        head = self.weights.head
        if head is None:
            return name, self.weights.directions * hidden_size(self.weights.layers[-1])
        product = self.node(
            "MatMul", [name, self.constant("head/weight", head["weight"].T)], "head/product"
        )
        bias = self.constant("head/bias", head["bias"])
        return self.node("Add", [product, bias], "head/output"), len(head["weight"])

    # ---- the whole ---------------------------------------------------------------------------

    def model(self, states: bool, lengths: bool) -> Any:
        """The model, with inputs for initial states and for lengths."""
        weights, last = self.weights, self.weights.output == "last"
        Y, final = self.levels(states, lengths)
        if last:
            Y = self.last([h for h, _ in final])
        else:
            Y = self.node("Transpose", [Y], "Y/rows_first", perm=[1, 0, 2])
        Y, width = self.headed(Y)
        Y = self.in_units(Y, weights.scaling, width)
        self.node("Identity", [Y], "Y")
        outputs: list[tuple[str, list[Any]]] = [
            ("Y", ["batch", width] if last else ["batch", "time", width])
        ]
        if states:
            for short, parts in zip("hc", zip(*final, strict=True), strict=True):
                self.node("Concat", parts, f"{short}n", axis=0)
                outputs.append((f"{short}n", [len(weights.layers), "batch", self.units]))
        return self._assembled(outputs, states, lengths)

    def levels(self, states: bool, lengths: bool) -> tuple[str, list[tuple[str, str]]]:
        """The outputs of the last layer (T, B, W), and the final states of all."""
        X = self.standardised(self.weights.scaling)
        X = self.node("Transpose", [X], "X/steps_first", perm=[1, 0, 2])
        initial = self.states(X, states)
        lens = self.lengths(X) if lengths else ""
        final: list[tuple[str, str]] = []
        for level, state in enumerate(initial):
            Y, h, c = self.lstm(level, X, lens, state)
            if self.weights.residual and level:
                Y = self.node("Add", [X, Y], f"layer{level}/sum")
            X = Y
            final.append((h, c))
        return X, final

    def _assembled(
        self, outputs: Sequence[tuple[str, list[Any]]], states: bool, lengths: bool
    ) -> Any:
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        features = self.weights.layers[0]["weight_ih"].shape[1]
        info = helper.make_tensor_value_info
        inputs = [info("X", self.kind, ["batch", "time", features])]
        if lengths:
            inputs.append(info("sequence_lens", INT32, ["batch_or_1"]))
        if states:
            shape = [len(self.weights.layers), "batch_or_1", self.units]
            inputs += [info(f"{short}0", self.kind, shape) for short in "hc"]
        used = {name for node in self.nodes for name in node.input}
        graph = helper.make_graph(
            self.nodes,
            "numlstm",
            inputs,
            [info(name, self.kind, shape) for name, shape in outputs],
            [
                numpy_helper.from_array(array, name)
                for name, array in self.constants.items()
                if name in used
            ],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="numlstm",
            producer_version=__version__,
        )
        learned = "initial_h" in self.weights.layers[0]
        helper.set_model_props(model, {LEARNED: str(learned)})
        return model
