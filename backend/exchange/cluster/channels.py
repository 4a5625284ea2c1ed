"""The names of the channels of one shard."""


class Channels:
    """Who says what: see the package."""

    def __init__(self, shard: int) -> None:
        self._prefix = f"exchange:{shard}:"
        self.entries = f"{self._prefix}entries"  # Entries
        self.leading = f"{self._prefix}leading"  # Leading
        self.tables = f"{self._prefix}tables"  # Reached
        self.hurry = f"{self._prefix}hurry"  # Hurry
        self.access = f"{self._prefix}access"  # that keys or sessions have changed in the tables; nothing else
        self.spending = f"{self._prefix}spending"  # Spending

    def commands(self, epoch: int) -> str:
        """Asks to the leader of an epoch: nobody else ever listens there."""
        return f"{self._prefix}commands:{epoch}"

    def answers(self, sender: str) -> str:
        """Answers to one API process."""
        return f"{self._prefix}answers:{sender}"
