"""The kernels of one time step."""
