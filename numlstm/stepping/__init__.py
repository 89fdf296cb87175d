"""One time step of a network in other programs' loops."""
