"""Doors into other people's programs: a step for their loops in Numba, C and Fortran."""
