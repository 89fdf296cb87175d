"""Masks: keyed by what they are for, the mean kept, the rates that were asked for."""

import numpy as np
import pytest

from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.backends import reference
from numlstm.network.dropout import draw_noise, mean_noise, no_noise
from numlstm.network.network import Network
from numlstm.utils.random_streams import LAYERS, RandomStreams

ALL = Dropout(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def spec_with(**rates):
    return NetworkSpec(3, 8, None, 2, proj_size=5, bidirectional=True, dropout=Dropout(**rates))


def arrays(noise):
    """Every array of some noise by its place."""
    places = {"between": noise.between, "weights": noise.weights}
    places |= {f"layer {i}": layer or () for i, layer in enumerate(noise.layers)}
    return {
        (name, i): array
        for name, parts in places.items()
        for i, array in enumerate(parts)
        if array is not None
    }


def test_shapes_and_dtypes():
    noise = draw_noise(spec_with(**vars(ALL)), numpy_arrays, RandomStreams(0), 0, 4, 6)
    assert [m if m is None else m.shape for m in noise.between] == [None, (4, 6, 10)]
    assert [m.shape for m in noise.weights] == [(32, 5)] * 4
    for layer, width in zip(noise.layers, (3, 3, 10, 10), strict=True):
        shapes = [(4, width), (4, 5), (4, 6, 8), (4, 6, 5), (4, 6, 8)]
        assert [part.shape for part in layer] == shapes
    assert {array.dtype for array in arrays(noise).values()} == {np.dtype("float32")}


@pytest.mark.parametrize("name", vars(ALL))
def test_a_rate_sets_its_own_masks_and_no_others(name):
    noise = arrays(draw_noise(spec_with(**{name: 0.25}), numpy_arrays, RandomStreams(0), 0, 40, 50))
    everything = arrays(
        draw_noise(spec_with(**vars(ALL)), numpy_arrays, RandomStreams(0), 0, 40, 50)
    )
    assert 0 < len(noise) < len(everything)
    for mask in noise.values():
        kept = 1 if name.startswith("zoneout") else np.float32(1 / 0.75)
        assert set(np.unique(mask)) == {0, kept}
        spread = 5 * np.sqrt(0.25 * 0.75 / mask.size)
        assert abs((mask > 0).mean() - 0.75) < spread


def test_no_two_masks_are_alike_and_all_can_be_drawn_again():
    spec = spec_with(**dict.fromkeys(vars(ALL), 0.5))
    seen = []
    for seed, update in ((0, 0), (0, 1), (1, 0)):
        masks = arrays(draw_noise(spec, numpy_arrays, RandomStreams(seed), update, 16, 8))
        again = arrays(draw_noise(spec, numpy_arrays, RandomStreams(seed), update, 16, 8))
        for place, mask in masks.items():
            np.testing.assert_array_equal(mask, again[place])
            seen.append((mask[:, ...] > 0).ravel()[:100].tobytes())
    assert len(set(seen)) == len(seen)


def bits(seed, rows, count):
    return np.concatenate(list(RandomStreams(seed).bits(LAYERS, 3, 1, rows, count)))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 5000, 200_000])
def test_a_row_of_bits_does_not_depend_on_how_many_there_are(count):
    drawn = bits(5, 60, count)
    assert drawn.shape == (60, count)
    assert drawn.dtype == np.uint16
    np.testing.assert_array_equal(bits(5, 7, count), drawn[:7])
    # row r begins at counter r n, n counters to a row
    philox = np.random.Philox(
        key=RandomStreams(5)._key, counter=[13 * -(-count // 16), 1, 3, LAYERS]
    )
    alone = philox.random_raw(count).view(np.uint16)[:count]
    np.testing.assert_array_equal(alone, drawn[13])


def test_bits_are_uniform_and_pinned():
    drawn = bits(0, 100, 1000)
    assert abs(drawn.mean() / 65535 - 0.5) < 5 / np.sqrt(12 * drawn.size)
    assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.02
    # the numbers are part of the interface: a checkpoint is resumed with them
    assert drawn[0, :4].tolist() == [50299, 19255, 55673, 46873]


def test_a_rate_next_to_1_leaves_finite_numbers():
    noise = draw_noise(spec_with(recurrent=1 - 1e-9), numpy_arrays, RandomStreams(0), 0, 9, 9)
    for mask in arrays(noise).values():
        assert np.isfinite(mask).all()


def test_predictions_use_zoneouts_mean_alone():
    spec = spec_with(**vars(ALL))
    mean = mean_noise(spec, numpy_arrays, 4)
    assert mean.between == mean.weights[:2] == (None, None)
    for layer in mean.layers:
        assert layer[:3] == (None,) * 3
        assert layer.keep_h.shape == (4, 1, 5)
        assert layer.keep_c.shape == (4, 1, 8)
        np.testing.assert_allclose(layer.keep_h, 0.4, atol=2**-16)
        np.testing.assert_allclose(layer.keep_c, 0.3, atol=2**-16)
    network = Network(spec_with(layers=0.5, weights=0.5), reference)
    assert network._mean_noise(4) == no_noise(network.spec)
