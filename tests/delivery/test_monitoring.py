"""Prometheus, its alerts, Alertmanager and the Grafana dashboard, held against Prometheus' own tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from exchange.observability import metrics
from exchange.roles import ROLES
from tests.delivery.manifests import CHART, REPOSITORY, Manifest, Render, Tool, of_kind, values_of

MONITORING = REPOSITORY / "monitoring"
RULE_FILES = ["critical-alerts.yml", "warning-alerts.yml"]


def exported() -> dict[str, set[str]]:
    """The labels of every time series that the process exports of its own accord, by name, read from its registry."""
    suffixes = {"counter": "_total", "histogram": "_bucket"}
    series: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            labels = {*metric._labelnames, *({"le"} if family.type == "histogram" else ())}
            series[family.name + suffixes.get(family.type, "")] = labels
    # These read their values, and so their labels, only when asked.
    metrics.HOST.disks.add(REPOSITORY)
    metrics.observe_request("GET", "unmatched", 200, 0.0)
    asked = (metrics.HOST, metrics.TRANSACTIONS, metrics.ORDER_SECONDS, metrics.REQUESTS)
    for family in (family for collector in asked for family in collector.collect()):
        series[family.name + suffixes.get(family.type, "")] = {
            label for sample in family.samples for label in sample.labels
        }
    metrics.HOST.disks.discard(REPOSITORY)
    return series


def run(*command: str | Path, cwd: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_prometheus_configuration_and_its_rules_are_valid(tool: Tool) -> None:
    result = run(tool("promtool"), "check", "config", "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 rule files found" in result.stdout


def test_prometheus_scrapes_the_api_every_15_seconds() -> None:
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    job, roles = configuration["scrape_configs"]
    assert configuration["global"]["scrape_interval"] == "15s"
    assert (job["job_name"], job["metrics_path"]) == ("exchange-api", "/metrics")
    assert job["static_configs"] == [{"targets": ["exchange-api:8080"]}]
    (names,) = roles["dns_sd_configs"]
    assert names == {"names": [f"exchange-{role}" for role in ROLES if role != "api"], "type": "A", "port": 8080}


def test_every_alert_fires_when_it_must_and_keeps_quiet_when_it_must_not(tool: Tool) -> None:
    result = run(tool("promtool"), "test", "rules", "alert-tests.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ("> 0.1", "> 0.3"),
        ("> 0.1", "> 0.01"),
        ("== 0", "== 2"),
        ("> 0.5", "> 2"),
        ("> 0.5", "> 0.05"),
        ('status=~"5.."', 'status=~"[45].."'),
        ("for: 2m", "for: 0s"),
        ("for: 1m", "for: 0s"),
        ("for: 5m", "for: 0s"),
    ],
)
def test_the_alert_tests_notice_a_changed_rule(tool: Tool, tmp_path: Path, sound: str, broken: str) -> None:
    for name in [*RULE_FILES, "alert-tests.yml"]:
        shutil.copy(MONITORING / name, tmp_path / name)
    texts = {name: (MONITORING / name).read_text() for name in RULE_FILES}
    assert sum(text.count(sound) for text in texts.values()) == 1
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(sound, broken))
    assert run(tool("promtool"), "test", "rules", "alert-tests.yml", cwd=tmp_path).returncode != 0


def test_the_chart_ships_the_same_rules(render: Render) -> None:
    expected = []
    for name in RULE_FILES:
        assert (CHART / "files" / name).read_text() == (MONITORING / name).read_text()
        expected += yaml.safe_load((MONITORING / name).read_text())["groups"]
    rendered = render(values_of("monitoring-values.yaml"))
    assert of_kind(rendered, "PrometheusRule")["exchange"]["spec"]["groups"] == expected
    services = of_kind(rendered, "Service").values()
    for name, monitor in of_kind(rendered, "ServiceMonitor").items():
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (selected,) = [one for one in services if wanted <= one["metadata"]["labels"].items()]
        assert selected["metadata"]["name"] == name
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in selected["spec"]["ports"]}
    assert of_kind(rendered, "ServiceMonitor").keys() == {f"exchange-{role}" for role in ROLES}


def test_the_alertmanager_configuration_is_valid_and_holds_no_secret(tool: Tool) -> None:
    result = run(tool("amtool"), "check-config", "alertmanager.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "api_url:" not in (MONITORING / "alertmanager.yml").read_text()


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "slack-critical"), ("warning", "slack-warning")])
def test_alerts_are_routed_by_severity(tool: Tool, severity: str, receiver: str) -> None:
    routed = run(
        tool("amtool"),
        "config",
        "routes",
        "test",
        "--config.file=alertmanager.yml",
        "alertname=Any",
        f"severity={severity}",
    )
    assert routed.stdout.strip() == receiver, routed.stderr


def dashboard() -> Manifest:
    loaded: Manifest = json.loads((MONITORING / "grafana/dashboards/exchange.json").read_text())
    return loaded


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "5m")


def test_prometheus_understands_every_query_of_the_dashboard(tool: Tool, tmp_path: Path) -> None:
    rules = [{"record": f"dashboard:query:{index}", "expr": expression} for index, expression in enumerate(queries())]
    assert len(rules) > 30
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    result = run(tool("promtool"), "check", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


def test_queries_use_only_metrics_and_labels_that_the_api_exports_and_use_them_all() -> None:
    own = exported()
    # Exported by prometheus_client's process collector, and made by Prometheus itself.
    known = own | {"process_resident_memory_bytes": set(), "up": set()}
    alerts = [
        rule["expr"]
        for name in RULE_FILES
        for group in yaml.safe_load((MONITORING / name).read_text())["groups"]
        for rule in group["rules"]
    ]
    seen: set[str] = set()
    for expression in [*queries(), *alerts]:
        bare = re.sub(r'"[^"]*"', "", expression)
        words = re.findall(r"[a-z_]+", re.sub(r"by \([^)]*\)|\{[^}]*\}|\[[^]]*\]", "", bare))
        names = {word for word in words if ("_" in word and word != "histogram_quantile") or word == "up"}
        assert len(names) == 1, expression
        assert names <= known.keys(), expression
        (metric,) = names
        seen |= names
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", bare) for label in group.split(",")}
        matched = set(re.findall(r"(\w+)(?:=~|!=|=)", "".join(re.findall(r"\{[^}]*\}", bare))))
        assert grouped | matched <= known[metric] | {"job"}, expression
    assert own.keys() <= seen, "a metric that nobody looks at"


def test_the_dashboard_is_laid_out_without_overlap_and_every_panel_says_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    identifiers = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
        identifiers.add(panel["id"])
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert len(identifiers) == len(dashboard()["panels"])


def test_grafana_finds_the_dashboard_and_the_data_source_where_compose_mounts_them() -> None:
    provisioning = MONITORING / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/exchange.yml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    services = yaml.safe_load((REPOSITORY / "docker/compose.monitoring.yaml").read_text())["services"]
    assert f"../monitoring/grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    assert source["url"] == "http://prometheus:9090"
    (variable,) = dashboard()["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])
