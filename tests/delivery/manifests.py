"""Names that the delivery checks share: where the repository is, what a manifest is, how YAML is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
Render = Callable[[Manifest], list[Manifest]]
Tool = Callable[[str], str]

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "helm/exchange"
# One file of values for every supported way to install the chart.
CONFIGURATIONS = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))


def values_of(configuration: str) -> Manifest:
    """The values in one file of helm/exchange/ci."""
    values: Manifest = yaml.safe_load((CHART / "ci" / configuration).read_text())
    return values


def documents(text: str) -> list[Manifest]:
    """The YAML documents of `text`, without the empty ones that a chart's conditions leave behind."""
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of one kind by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}
