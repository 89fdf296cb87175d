"""Layers and head over any backend."""
