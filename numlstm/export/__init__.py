"""C and Fortran sources of a trained network."""
