"""Resamples of members: whom a window asks, and what counts."""

import numpy as np

from helpers.datasets import dataset
from numlstm.objectives.member_evaluator import MemberData


def test_a_window_asks_the_members_with_a_share_in_its_rows():
    data = MemberData(dataset([4, 4, 4]), np.array([[1, 0, 2], [0, 3, 0], [1, 1, 1]]))
    for rows, members in (([0], [0, 2]), ([1], [1, 2]), ([0, 2], [0, 2]), ([0, 1], [0, 1, 2])):
        window = data.cut(1, 3, np.array(rows))
        assert np.arange(3)[window.members].tolist() == members
        weight = data.counts[members][:, rows, None, None] * data.data.weight[rows, 1:3]
        np.testing.assert_array_equal(window.weight, weight)
    without = data.without(np.array([True, False, True])).cut(0, 4)
    assert np.arange(3)[without.members].tolist() == [1]
