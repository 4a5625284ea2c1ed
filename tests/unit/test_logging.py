"""Log lines: one line an event, whatever the values hold."""

import io
import logging
from collections.abc import Iterator

import pytest

from exchange.observability.logging import configure_logging


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("exchange.access", "exchange.auth")}
    stream = io.StringIO()
    configure_logging("WARNING", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_fields_are_written_as_key_and_value(log: io.StringIO) -> None:
    logging.getLogger("exchange.auth").info(
        "login accepted", extra={"fields": {"account": 1000, "address": "10.0.0.1"}}
    )
    (line,) = log.getvalue().splitlines()
    assert line.startswith("time=2")
    assert 'message="login accepted" account=1000 address=10.0.0.1' in line
    assert "level=INFO logger=exchange.auth" in line


def test_a_value_cannot_start_a_new_line_or_field(log: io.StringIO) -> None:
    evil = 'x\nlevel=CRITICAL message="login accepted" account=1'
    logging.getLogger("exchange.auth").info("login refused", extra={"fields": {"address": evil}})
    (line,) = log.getvalue().splitlines()
    assert r'address="x\nlevel=CRITICAL message=\"login accepted\" account=1"' in line


def test_a_traceback_stays_on_its_line(log: io.StringIO) -> None:
    try:
        raise RuntimeError("cause\nand more")
    except RuntimeError:
        logging.getLogger("exchange").exception("request crashed")
    (line,) = log.getvalue().splitlines()
    assert "RuntimeError: cause" in line
    assert "Traceback" in line


def test_the_access_log_is_off_and_the_auth_log_is_on(log: io.StringIO) -> None:
    logging.getLogger("exchange.access").info("request")
    logging.getLogger("exchange.gateway").info("not wanted at this level")
    logging.getLogger("exchange.auth").info("auth unauthorized")
    (line,) = log.getvalue().splitlines()
    assert "auth unauthorized" in line


def test_the_access_log_is_on_at_debug(log: io.StringIO) -> None:
    configure_logging("DEBUG", log)
    logging.getLogger("exchange.access").info("request")
    assert "logger=exchange.access" in log.getvalue()
