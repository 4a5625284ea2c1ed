def acknowledgement(identity: bytes, op: bytes, status: int, result: bytes, left: tuple[int, int, int]) -> bytes:
    """Return the frame that acknowledges an operation whose result is JSON already.

    ``identity``: that of the message, as JSON; ``op``: its name, ASCII without what JSON escapes; ``left``: what
    remains of its budget, as (limit, remaining, reset). Raises ValueError for an ``op`` of more than 40 bytes.
    """

def plain_messages(data: bytes, most: int, bytes_max: int) -> tuple[list[bytes], int]:
    """Return (the messages that begin received data, where what follows them begins).

    Plain is a whole text message in one frame, masked as a client's is, of at most ``bytes_max`` bytes. The first frame
    that is anything else, or has not arrived whole, ends them, and so do ``most`` messages.
    """
