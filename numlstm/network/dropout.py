"""Random masks of a whole network: drawn for an update, or the mean that predictions use."""

from typing import Any, NamedTuple

from numlstm.architecture.spec import LayerSpec, NetworkSpec, Noise
from numlstm.utils import random_streams
from numlstm.utils.random_streams import RandomStreams
from numlstm.utils.types import AnyArray

_LEVELS = 2**16  # a rate is rounded to a multiple of 1 / _LEVELS


class NetworkNoise(NamedTuple):
    """Random factors by their place; None where there are none."""

    layers: tuple[Any, ...]  # a Noise per layer and direction
    between: tuple[
        Any, ...
    ]  # (B, T, W) per layer: on what comes from the layer below; None for the first
    weights: tuple[Any, ...]  # the shape of weight_hh per layer and direction


def no_noise(spec: NetworkSpec) -> NetworkNoise:
    """Nothing random anywhere."""
    nothing = (None,) * len(spec.layers)
    return NetworkNoise(nothing, (None,) * spec.num_layers, nothing)


def mean_noise(spec: NetworkSpec, arrays: Any, batch: int) -> NetworkNoise:
    """The means of the masks, which predictions use: zoneout's; dropout has mean 1."""
    rates = spec.dropout

    def keep(rate: float, size: int) -> AnyArray | None:
        return arrays.full((batch, 1, size), 1 - real_rate(rate), spec.dtype) if rate else None

    layers = tuple(
        Noise(
            keep_h=keep(rates.zoneout_h, layer.output_size),
            keep_c=keep(rates.zoneout_c, layer.hidden_size),
        )
        for layer in spec.layers
    )
    return no_noise(spec)._replace(layers=layers)


def draw_noise(
    spec: NetworkSpec, arrays: Any, source: RandomStreams, update: Any, batch: int, steps: int
) -> NetworkNoise:
    """The masks of one update, for a batch of sequences of so many steps; `arrays` of a backend."""
    rates = spec.dropout

    def mask(
        purpose: int, rate: float, part: int, *shape: int, scaled: bool = True
    ) -> AnyArray | None:
        if rate == 0:
            return None
        share = real_rate(rate)
        value = 1 / (1 - share) if scaled else 1.0
        kept = source, update, (purpose, part), shape, round(_LEVELS * share), value
        return arrays.mask(*kept, spec.dtype)

    def of_layer(part: int, layer: LayerSpec) -> Noise | None:
        P, H = layer.output_size, layer.hidden_size
        noise = Noise(
            mask(random_streams.INPUTS, rates.inputs, part, batch, layer.input_size),
            mask(random_streams.STATES, rates.states, part, batch, P),
            mask(random_streams.RECURRENT, rates.recurrent, part, batch, steps, H),
            mask(random_streams.ZONEOUT_H, rates.zoneout_h, part, batch, steps, P, scaled=False),
            mask(random_streams.ZONEOUT_C, rates.zoneout_c, part, batch, steps, H, scaled=False),
        )
        return None if all(part is None for part in noise) else noise

    return NetworkNoise(
        tuple(of_layer(part, layer) for part, layer in enumerate(spec.layers)),
        tuple(
            mask(
                random_streams.LAYERS,
                rates.layers if level else 0,
                level,
                batch,
                steps,
                spec.hidden_width,
            )
            for level in range(spec.num_layers)
        ),
        tuple(
            mask(random_streams.WEIGHTS, rates.weights, part, *layer.shapes["weight_hh"])
            for part, layer in enumerate(spec.layers)
        ),
    )


def real_rate(rate: float) -> float:
    """The rate that is really used: a multiple of 1 / _LEVELS below 1."""
    return min(round(_LEVELS * rate), _LEVELS - 1) / _LEVELS
