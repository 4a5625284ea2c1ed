"""Logs: one line an event, `key=value` fields, nothing that a value contains can start a new line or field."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+", re.ASCII)


class LineFormatter(logging.Formatter):
    """`time=... level=INFO logger=exchange.auth message="login accepted" account=1000`.

    Fields come as ``logger.info("login accepted", extra={"fields": {"account": 1000}})``; a value that is not plain is
    written as a JSON string. A traceback becomes the field ``error``.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return " ".join(f"{name}={_text(value)}" for name, value in fields.items() if value is not None)


def _text(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send every log line at ``level`` or above to ``stream`` (standard error), in place of what was set up before.

    The access log (``exchange.access``, one line a request) is off unless the level is DEBUG; sign-in and refusal
    events (``exchange.auth``) are written at INFO whatever the level is.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level != "DEBUG":  # their INFO tells of every connection
        for name in ("uvicorn.error", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("exchange.access").setLevel(logging.INFO if level == "DEBUG" else logging.WARNING)
    logging.getLogger("exchange.auth").setLevel(logging.INFO)
