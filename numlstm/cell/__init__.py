"""The equations of one time step, once for every kernel."""
