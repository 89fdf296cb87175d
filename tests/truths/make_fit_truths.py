"""Make fit_truths.npz: losses, optimisers and whole trainings by PyTorch in float64.

Needs PyTorch; the tests do not. Run it: python tests/truths/make_fit_truths.py

Arrays are stored as "kind.name.array". PyTorch has two biases per layer whose sum is numlstm's
one. Both get the same gradient, so in training the second is held at zero.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

# name of a loss: (function of prediction and target, shape of the prediction, of the target)
LOSSES = {
    "mse": (functional.mse_loss, (5, 7, 3), (5, 7, 3)),
    "mae": (functional.l1_loss, (5, 7, 3), (5, 7, 3)),
    "huber": (functional.huber_loss, (5, 7, 3), (5, 7, 3)),
    "binary_cross_entropy": (functional.binary_cross_entropy_with_logits, (5, 7, 3), (5, 7, 3)),
    "cross_entropy": (
        lambda logits, target: functional.cross_entropy(logits.movedim(-1, 1), target),
        (5, 7, 4),
        (5, 7),
    ),
    "gaussian_nll": (
        lambda output, target: functional.gaussian_nll_loss(
            output[..., :3], target, output[..., 3:].exp() + 1e-6, eps=1e-6
        ),
        (5, 7, 6),
        (5, 7, 3),
    ),
}

# name: (optimiser of PyTorch, its arguments)
OPTIMIZERS = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adam_decay": (torch.optim.Adam, {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
    "adamw": (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1}),
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd_nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}),
    "rmsprop_momentum": (
        torch.optim.RMSprop,
        {"lr": 0.01, "momentum": 0.5, "alpha": 0.9, "weight_decay": 0.01},
    ),
}

# name: (I, H, O, num_layers, B, T, window, optimiser, updates or epochs)
TRAININGS = {
    "adam": (3, 8, 2, 2, 4, 12, None, "adam", 100),
    "tbptt": (2, 7, 1, 2, 3, 23, 5, "sgd_momentum", 8),
}


def loss_truths(name):
    function, shape, target_shape = LOSSES[name]
    prediction = (3 * torch.randn(shape)).requires_grad_()
    target = torch.randn(target_shape)
    if name == "binary_cross_entropy":
        target = torch.rand(target_shape)
    if name == "cross_entropy":
        target = torch.randint(0, shape[-1], target_shape)
    value = function(prediction, target)
    value.backward()
    return {
        "prediction": prediction.detach().numpy(),
        "target": target.numpy(),
        "value": value.detach().numpy(),
        "gradient": prediction.grad.numpy(),
    }


def optimizer_truths(name):
    """A hundred steps along gradients that do not depend on theta, but for the decay."""
    make, arguments = OPTIMIZERS[name]
    theta, gradients = torch.randn(11, requires_grad=True), torch.randn(100, 11)
    arrays = {"start": theta.detach().numpy().copy(), "gradients": gradients.numpy()}
    optimizer, trajectory = make([theta], **arguments), []
    for gradient in gradients:
        theta.grad = gradient.clone()
        optimizer.step()
        trajectory.append(theta.detach().numpy().copy())
    return {**arrays, "trajectory": np.array(trajectory)}


class Model(torch.nn.Module):
    def __init__(self, input_size, hidden_size, output_size, num_layers):
        super().__init__()
        self.lstm = torch.nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.head = torch.nn.Linear(hidden_size, output_size)
        for index in range(num_layers):
            second = getattr(self.lstm, f"bias_hh_l{index}")
            second.data.zero_()
            second.requires_grad_(False)

    def forward(self, X, state=None):
        hidden, state = self.lstm(X, state)
        return self.head(hidden), state

    def theta(self):
        """The parameters in numlstm's order."""
        return np.concatenate([p.detach().numpy().ravel() for p in self.trained()])

    def trained(self):
        return [p for p in self.parameters() if p.requires_grad]


def training_truths(name):
    *sizes, B, T, window, optimizer, epochs = TRAININGS[name]
    model = Model(*sizes)
    make, arguments = OPTIMIZERS[optimizer]
    stepper = make(model.trained(), **arguments)
    X, y = torch.randn(B, T, sizes[0]), torch.randn(B, T, sizes[2])
    arrays = {"sizes": np.array(sizes), "X": X.numpy(), "y": y.numpy(), "start": model.theta()}
    trajectory, starts = [], range(0, T, window or T)
    for _ in range(epochs):
        state = None
        for start in starts:
            cut = slice(start, start + (window or T))
            Y, state = model(X[:, cut], state)
            stepper.zero_grad()
            # over the mean size of a window: the last, shorter one counts less
            loss = functional.mse_loss(Y, y[:, cut], reduction="sum") / (y.numel() / len(starts))
            loss.backward()
            stepper.step()
            state = tuple(part.detach() for part in state)
        trajectory.append(model.theta())  # every tenth is kept, and the last
    return {**arrays, "epochs": np.array(epochs), "trajectory": np.array(trajectory[-1::-10][::-1])}


if __name__ == "__main__":
    torch.manual_seed(2000)
    torch.set_default_dtype(torch.float64)
    stored = {"torch_version": np.array(torch.__version__)}
    for kind, names, truths in [
        ("loss", LOSSES, loss_truths),
        ("optimizer", OPTIMIZERS, optimizer_truths),
        ("training", TRAININGS, training_truths),
    ]:
        for name in names:
            stored |= {f"{kind}.{name}.{key}": array for key, array in truths(name).items()}
    np.savez_compressed(Path(__file__).with_name("fit_truths.npz"), **stored)
