"""Prove that an exchange's journal, snapshots and tables tell one story (docs/audit.md). Reads only."""
