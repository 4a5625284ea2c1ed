"""Recorded order flow, robots and load: what trades here through the public API without a person behind it."""
