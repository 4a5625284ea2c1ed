"""A shard's state as bytes: magic, version and length, the state as JSON, and a CRC-32 of all before it."""

import json
import struct
import zlib
from typing import Any

from engine.errors import SnapshotError

_HEADER = struct.Struct("<4sIQ")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"EXRF"
_VERSION = 1


def pack(state: dict[str, Any]) -> bytes:
    """The state, which JSON must be able to hold, as bytes."""
    body = json.dumps(state, separators=(",", ":")).encode()
    content = _HEADER.pack(_MAGIC, _VERSION, len(body)) + body
    return content + _CHECKSUM.pack(zlib.crc32(content))


def unpack(data: bytes) -> dict[str, Any]:
    """The state that `pack` was given. Raises SnapshotError for anything that `pack` did not make."""
    if len(data) < _HEADER.size + _CHECKSUM.size:
        raise SnapshotError(f"a snapshot has at least {_HEADER.size + _CHECKSUM.size} bytes, these are {len(data)}")
    magic, version, body_size = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise SnapshotError(f"a snapshot of the reference engine starts with {_MAGIC!r}, this with {magic!r}")
    if version != _VERSION:
        raise SnapshotError(f"snapshot version {version} cannot be restored, only {_VERSION}")
    size = _HEADER.size + body_size + _CHECKSUM.size
    if len(data) != size:
        raise SnapshotError(f"the snapshot says that it has {size} bytes, these are {len(data)}")
    content, checksum = data[: -_CHECKSUM.size], _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]
    if zlib.crc32(content) != checksum:
        raise SnapshotError(f"the snapshot's checksum is {checksum:#010x}, its content has {zlib.crc32(content):#010x}")
    state: dict[str, Any] = json.loads(content[_HEADER.size :])
    return state
