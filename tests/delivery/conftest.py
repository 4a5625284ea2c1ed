"""The plain manifests, the rendered chart, and the tools they are held against."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import helm_python
import pytest

from tests.delivery.manifests import CHART, REPOSITORY, Manifest, Render, Tool, documents


@pytest.fixture(scope="session")
def plain() -> list[Manifest]:
    """Every object of kubernetes/*.yml."""
    return [one for path in sorted((REPOSITORY / "kubernetes").glob("*.yml")) for one in documents(path.read_text())]


@pytest.fixture(scope="session")
def render() -> Render:
    """Renders the chart with values laid over its own, as `helm template` does; raises HelmError on refusal."""

    def objects(values: Manifest) -> list[Manifest]:
        with helm_python.Chart.load(CHART) as chart:
            rendered = chart.render(values, name="exchange", namespace="exchange")
        return [one for path, text in rendered.items() if path.endswith(".yaml") for one in documents(text)]

    return objects


@pytest.fixture(scope="session")
def tool() -> Tool:
    """The path of a program that a check needs. A missing one fails: skipping would hide that nothing was proven."""

    def find(name: str) -> str:
        beside_python = Path(sys.executable).parent / name
        if beside_python.exists():
            return str(beside_python)
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found is None:
            pytest.fail(f"{name} is not installed: run .ci/tools as root; without root it says what to install by hand")
        return found

    return find
