"""`pytest tests/scenarios --rewrite` writes what the reference engine answers into the scenario files."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the reference engine's answers into the scenarios")
