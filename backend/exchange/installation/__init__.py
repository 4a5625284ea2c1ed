"""One installation on one machine: its home directory, its secrets, its processes."""
