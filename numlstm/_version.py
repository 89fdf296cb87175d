"""The version, for whoever needs it below the package's `__init__`."""

__version__ = "0.2.0.dev0"
