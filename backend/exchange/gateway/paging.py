"""Pages: a limit and an opaque cursor that holds the key of the last row seen."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from exchange.contracts.refusals import EdgeReason, refuse

PAGE_ROWS_MAX = 500
_KEY_MAX = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX, description="Rows a page")]
Cursor = Annotated[str | None, Query(max_length=120, description="`next_cursor` of the page before")]


def encode_cursor(listing: str, *key: int) -> str:
    """Return the cursor that continues a listing after a key."""
    text = ":".join([listing, *map(str, key)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, listing: str, size: int) -> tuple[int, ...] | None:
    """Return the key (``size`` integers >= 0) in a cursor of this listing; None without one. Refuses any other text."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    name, *parts = text.split(":")
    if name == listing and len(parts) == size and all(part.isdigit() and len(part) < 20 for part in parts):
        key = tuple(map(int, parts))
        if max(key) <= _KEY_MAX:
            return key
    raise refuse(
        EdgeReason.FIELD_INVALID,
        "the cursor is not one of this list; take next_cursor of the page before, or leave it out",
        field="cursor",
        limit="next_cursor of the same list",
    )
