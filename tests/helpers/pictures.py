"""What stands in a picture."""

import numpy as np


def data(line):
    """The places and the values of a line."""
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def labels(ax):
    """The entries of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
