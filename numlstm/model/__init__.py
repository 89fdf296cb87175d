"""The LSTM class."""
