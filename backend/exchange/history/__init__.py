"""Looks into the past: what a market and an account were after any entry of the journal."""
