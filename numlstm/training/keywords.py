"""What other packages have a keyword for, and numlstm another way."""

_PAST = (
    "pass the series as they are: a network keeps what it needs of the past in its state; for "
    "samples of n steps each, which begin anew, pass window=n"
)
INSTEAD = {
    **dict.fromkeys(("window_size", "lookback", "lags", "n_lags"), _PAST),
    **dict.fromkeys(
        ("groups", "group"),
        "pass each series as an entry of a list, or a frame with levels of series and of time",
    ),
    **dict.fromkeys(
        ("static_features", "static_covariates"),
        "pass what does not change in time as static=, a row for each series",
    ),
    **dict.fromkeys(
        ("detrend", "trend", "differences"),
        "fit the changes, np.diff(series), and add the forecasts to the last value",
    ),
    **dict.fromkeys(
        ("steps_per_epoch", "batches_per_epoch"),
        "an epoch is a pass over X: of a callable it is one batch, so that epochs= counts them; an "
        "object of a class whose __iter__ yields so many batches has as many in an epoch",
    ),
    "initial_epoch": (
        "a fit goes on from another with model=result, for as many more epochs as epochs= says, "
        "and from a stopped one with checkpoint= and resume=True"
    ),
    **dict.fromkeys(
        ("test_size", "test_split"), "set data aside yourself, or pass validation=0.2 to stop by"
    ),
}

_WINDOWS = ("window", "stride", "predict_last", "shuffle")
IN_ENSEMBLES = INSTEAD | dict.fromkeys(
    _WINDOWS,
    "members learn from sequences that are laid out; for windows over series call fit for each "
    "member, with another rng=",
)
OF_CLASSES = INSTEAD | dict.fromkeys(
    _WINDOWS,
    "before its first whole window a series has no class to predict; numlstm.fit(..., window=n, "
    "loss='cross_entropy') gives logits, and NaN there",
)
