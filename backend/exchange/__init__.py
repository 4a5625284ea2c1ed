"""Exchange: an open matching-engine exchange."""

__version__ = "0.1.0"
