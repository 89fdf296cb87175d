"""A stream, blocks of memory, graphs, and arrays of other libraries, by the CUDA driver.

The simulator's is `simulator.py`, with the same names; `memory.driver` is the one to use.
"""

import gc

import numpy as np
from cuda.core import Device, Stream
from cuda.core.utils import StridedMemoryView

from numlstm.backends import BackendError
from numlstm.backends.cuda.device.target import cuda

DeviceNDArray = cuda.cudadrv.devicearray.DeviceNDArray


def new_stream():
    """A stream that waits for the default stream, and for which that waits."""
    return cuda.stream()


def new_block(size: int, stream):
    """So many bytes, until the last reference to them is gone."""
    pool = Device(cuda.get_current_device().id).memory_resource
    return pool.allocate(size, stream=Stream.from_handle(int(stream)))


def free_memory() -> float:
    """Bytes that may still be had, with those that were given back and are kept for the next."""
    free, _ = cuda.current_context().get_memory_info()
    pool = getattr(Device(cuda.get_current_device().id).memory_resource, "attributes", None)
    return free if pool is None else free + pool.reserved_mem_current - pool.used_mem_current


def array_in(block, shape, dtype, stream, owner):
    """An array in a block; as long as it or a view of it lives, so does the owner."""
    description = {
        "shape": shape,
        "typestr": np.dtype(dtype).str,
        "data": (int(block.handle), False),
        "version": 3,
    }
    array = cuda.from_cuda_array_interface(description, owner=owner, sync=False)
    array.stream = stream
    return array


def transposed(matrix):
    """The same memory, seen the other way round; numba.cuda's `T` would be a copy."""
    return DeviceNDArray(
        matrix.shape[::-1],
        matrix.strides[::-1],
        matrix.dtype,
        matrix.stream,
        matrix.gpu_data,
    )


def is_on_device(array) -> bool:
    """Whether a value is an array of this backend."""
    return isinstance(array, DeviceNDArray)


def as_ours(array, stream):
    """An array of the GPU's memory, whosever it is, as one of this backend's."""
    if isinstance(array, DeviceNDArray):
        return array
    view = StridedMemoryView.from_any_interface(array, stream_ptr=int(stream))
    own = cuda.get_current_device().id
    if view.device_id != own:
        raise BackendError(f"it lies on GPU {view.device_id}, and this backend runs on {own}")
    if view.dtype is None:
        raise BackendError("its numbers are of a type that NumPy does not have")
    itemsize = view.dtype.itemsize
    description = {
        "shape": view.shape,
        "typestr": view.dtype.str,
        "data": (view.ptr, view.readonly),
        "strides": view.strides and tuple(itemsize * stride for stride in view.strides),
        "version": 3,
    }
    return cuda.from_cuda_array_interface(description, owner=view)


class Lent(DeviceNDArray):  # type: ignore[valid-type, misc]
    """An array that others read by `__cuda_array_interface__` or DLPack, without a copy."""

    def __dlpack__(self, **options):
        """A capsule, for `from_dlpack` of other libraries."""
        view = StridedMemoryView.from_cuda_array_interface(self, stream_ptr=-1)
        return view.__dlpack__(**options)

    def __dlpack_device__(self):
        """The number of CUDA, and of the GPU."""
        return 2, cuda.get_current_device().id


def lent_by(array, stream):
    """An array of this backend's as others read it, once the stream has made it."""
    stream.synchronize()
    return Lent(array.shape, array.strides, array.dtype, 0, array.gpu_data)


class Graph:
    """The launches of a function, to be repeated without it."""

    def __init__(self, function, stream):
        self._stream = Stream.from_handle(int(stream))
        builder = self._stream.create_graph_builder()
        # memory of others that happens to be given back meanwhile would not be for the graph
        collects = gc.isenabled()
        gc.disable()
        builder.begin_building("relaxed")
        try:
            function()
        finally:
            builder.end_building()
            if collects:
                gc.enable()
        self._graph = builder.complete()

    def launch(self) -> None:
        """Everything again, in the same memory."""
        self._graph.launch(self._stream)
