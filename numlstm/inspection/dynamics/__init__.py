"""A network as a dynamical system: Jacobians along a trajectory, exponents, fixed points."""
