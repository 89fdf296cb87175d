"""Names that other packages give to what is a keyword here, for the hints on unknown ones."""

# groups of names for the same thing; a hint takes the one that the function has
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("learning_rate", "lr", "learning_rate_init", "eta"),
    ("epochs", "n_epochs", "num_epochs", "max_epochs", "max_iter", "maxiter"),
    ("rng", "random_state", "seed"),
    ("progress", "verbose"),
    ("hidden_size", "units", "n_units", "hidden_dim"),
    ("input_size", "input_dim", "n_features"),
    ("output_size", "output_dim", "n_outputs"),
    ("method", "optimizer", "solver"),
    ("clip", "max_grad_norm", "clipnorm"),
    ("bptt_steps", "tbptt", "truncation"),
    ("validation", "validation_split", "validation_data"),
    ("patience", "early_stopping"),
    ("callback", "callbacks"),
    ("metrics", "metric", "scoring", "eval_metric"),
    ("model", "warm_start"),
    ("backend", "device"),
    ("members", "n_members", "n_estimators"),
    ("output", "return_sequences"),
    ("horizon", "steps_ahead", "n_steps_ahead", "forecast_horizon"),
    ("future", "future_covariates", "futr_exog", "known_future"),
)
