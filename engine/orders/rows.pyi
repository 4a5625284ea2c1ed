from typing_extensions import Buffer

COPY_BEGIN: bytes
COPY_END: bytes

def trade_rows(shard: int, events: Buffer) -> bytes: ...
def fill_rows(shard: int, events: Buffer) -> bytes: ...
