"""The methods of scipy.optimize that a fit can use, and what each of them can do."""

LEAST_SQUARES = "least_squares"
HESSIAN = ("Newton-CG", "trust-ncg", "trust-krylov")  # these need Hessian-vector products
DENSE = ("BFGS", "SLSQP", "trust-constr")  # these work on matrices (n, n)
BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr", LEAST_SQUARES)
CONSTRAINED = ("SLSQP", "trust-constr")
METHODS = ("CG", "BFGS", *HESSIAN, "L-BFGS-B", "TNC", "SLSQP", "trust-constr", LEAST_SQUARES)
