"""What a caller of either engine can do wrong. The content of a command is never an exception."""


class SequenceError(ValueError):
    """A command does not carry the sequence that follows the shard's; nothing was applied."""


class SnapshotError(ValueError):
    """The bytes are no snapshot that this engine can restore."""
