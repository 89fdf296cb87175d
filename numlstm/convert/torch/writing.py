"""Networks to PyTorch."""

from typing import Any

from numlstm.convert.check import verify
from numlstm.convert.torch.check import of_whole
from numlstm.convert.torch.counterpart import PYTORCH
from numlstm.model.lstm import LSTM
from numlstm.utils import checks


def to_torch(model: LSTM, *, check: bool = True) -> Any:
    """A torch.nn.Module that computes what a model predicts.

    Parameters
    ----------
    model : LSTM
        The network. Its rates of dropout between layers go along, others do not.
    check : bool, optional
        Run a random batch through both, and raise where the results differ beyond rounding.

    Returns
    -------
    module : torch.nn.Module
        With ``lstm``, an nn.LSTM with ``batch_first=True``, ``head``, an nn.Linear or None, and
        ``scaling``, which converts the units of the data, or None. ``Y, (h, c) = module(X, state)``
        is as `LSTM.predict`: X (B, T, I) in the units of the data, Y (B, T, O), or (B, O) of a
        model with ``output="last"``. Of the two biases one is the model's, the other 0. It is in
        evaluation mode, without dropout; ``module.train()`` turns that on for further training.

    Raises
    ------
    ValueError
        For a model with a part that nn.LSTM lacks; the message names it.
    RuntimeError
        Where the two compute something else.
    ImportError
        Where there is no PyTorch.

    Warns
    -----
    UserWarning
        For what the model does around its network, and the module does not: the rule for missing
        inputs, windows, names of features and outputs, and where the check could not be made.

    Examples
    --------
    >>> import numlstm
    >>> from numlstm.convert import to_torch
    >>> model = numlstm.LSTM(3, 8, 2, cell={"peephole": True}, rng=0)
    >>> to_torch(model)
    Traceback (most recent call last):
    ValueError: PyTorch lacks a part of this model: cell={'peephole': True}
    """
    PYTORCH.require_parts(model)
    PYTORCH.require("torch", "to_torch")
    modules = PYTORCH.require("numlstm.convert.torch.modules", "to_torch")
    module = modules.module_of(model)
    if checks.flag("check", check):
        verify(model, PYTORCH.name, lambda X: of_whole(module, X))
    return module
