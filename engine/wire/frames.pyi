def plain_messages(data: bytes, most: int, bytes_max: int) -> tuple[list[bytes], int]:
    """Return (the messages that begin received data, where what follows them begins).

    Plain is a whole text message in one frame, masked as a client's is, of at most ``bytes_max`` bytes. The first frame
    that is anything else, or has not arrived whole, ends them, and so do ``most`` messages.
    """
