"""Forward and backward passes of one layer: time, memory, distance from the peak."""

import time

import numba

from .common import DTYPES, SIZES, Layer
from .peak import Peak


class Forward(Layer):
    """`model.forward`."""

    def work(self):
        self.model.forward(self.X)

    def time_forward(self, backend, dtype, size):
        self.work()


class ForwardBackward(Layer):
    """`model.vjp` and its pullback: gradients of theta and X."""

    def work(self):
        self.model.theta[0] *= -1  # as in training, every gradient is one at new weights
        _, pullback = self.model.vjp(self.X)
        pullback(self.dY)

    def time_forward_backward(self, backend, dtype, size):
        self.work()

    def peakmem_forward_backward(self, backend, dtype, size):
        self.work()


class ForwardOverPeak(Forward):
    """Time of a forward pass over the time that its flops take at the machine's peak; 1 is best."""

    params = (["cpu"], DTYPES, SIZES[1:])
    unit = "times the time at peak"  # asv takes less for better
    passes = 1  # a forward pass has `flops` flops, a backward pass twice as many
    time_forward = None

    def track_over_peak(self, backend, dtype, size):
        peak = Peak(dtype, numba.config.NUMBA_NUM_THREADS)
        best = float("inf")
        for _ in range(10):  # peak and work in turns; noise only ever takes from either
            peak.measure(seconds=0.05)
            start = time.perf_counter()
            self.work()
            best = min(best, time.perf_counter() - start)
        return best * peak.flops_per_second / (self.passes * self.flops)


class ForwardBackwardOverPeak(ForwardOverPeak):
    """The same of forward and backward."""

    passes = 3
    work = ForwardBackward.work
