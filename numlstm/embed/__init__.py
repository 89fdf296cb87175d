"""The network inside the user's own loop: Numba, C and Fortran."""
