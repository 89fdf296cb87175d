"""Losses, optimisers, schedules and bounds."""
