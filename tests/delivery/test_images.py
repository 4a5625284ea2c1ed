"""The image recipes and the compose files: linted, valid, locked down, and made of files that are there."""

from __future__ import annotations

import fnmatch
import re
import subprocess

import compose_spec
import pytest
import yaml

from tests.delivery.manifests import REPOSITORY, Manifest, Tool

DOCKER = REPOSITORY / "docker"
RECIPES = sorted(path.name for path in DOCKER.glob("*.Dockerfile"))
OWN_SERVICES = ["exchange-api", "exchange-frontend", "migrate"]


def instructions(recipe: str) -> list[tuple[str, str]]:
    """(keyword, arguments) of each instruction, with continued lines joined and comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / recipe).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def compose(*names: str) -> Manifest:
    """The services of the compose files, later files laid over earlier ones by service."""
    services: Manifest = {}
    for name in names:
        services |= yaml.safe_load((DOCKER / name).read_text())["services"]
    return services


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_has_no_lint(tool: Tool, recipe: str) -> None:
    result = subprocess.run(
        [tool("hadolint"), "--failure-threshold", "style", DOCKER / recipe], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_image_runs_unprivileged_with_a_health_check_and_no_shell_between_signals_and_process(recipe: str) -> None:
    steps = instructions(recipe)
    final = steps[max(index for index, (keyword, _) in enumerate(steps) if keyword == "FROM") :]
    by_keyword = dict(final)
    user, group = by_keyword["USER"].split(":")
    assert int(user) > 0 and int(group) > 0, "numeric, so that Kubernetes can prove it is not root"
    assert "HEALTHCHECK" in by_keyword
    assert by_keyword["CMD"].startswith("[")
    assert not any("latest" in arguments for keyword, arguments in steps if keyword == "FROM")


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_the_recipe_copies_exists_and_is_let_through_by_dockerignore(recipe: str) -> None:
    lines = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert lines[0] == "*", "nothing enters a build unless it is named"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        source
        for keyword, arguments in instructions(recipe)
        if keyword == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert copied
    for source in copied:
        if "[" not in source:
            assert (REPOSITORY / source).exists(), source
        name = re.sub(r"[\[\]]", "", source)
        assert any(name == entry or name.startswith(entry + "/") for entry in allowed), source


def test_no_secret_and_nothing_built_enters_an_image() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and line[0] not in "#!*" or line.startswith("**/")]
    for path in (
        "frontend/.env",
        "frontend/node_modules",
        "frontend/dist",
        "backend/x/__pycache__",
        "engine/matching/core.so",
    ):
        assert any(fnmatch.fnmatch(path, pattern) for pattern in patterns), path


def test_the_build_tools_are_the_versions_that_the_tests_ran_with() -> None:
    development = (REPOSITORY / "requirements-dev.lock").read_text()
    pins = re.findall(r"^(\S+==\S+) \\", (DOCKER / "build-requirements.lock").read_text(), flags=re.MULTILINE)
    assert {pin.split("==")[0] for pin in pins} == {"cython", "setuptools"}
    for pin in pins:
        assert f"\n{pin} \\" in development, f"{pin}: run the command in docker/build-requirements.in"


@pytest.mark.parametrize("names", [["compose.yaml"], ["compose.yaml", "compose.monitoring.yaml"]])
def test_the_compose_file_follows_the_specification(names: list[str]) -> None:
    for name in names:
        # The specification's parser knows no YAML anchors across extension fields: resolve them first.
        resolved = yaml.safe_load((DOCKER / name).read_text())
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(resolved)).validate()
    services = compose(*names)
    volumes = {volume for name in names for volume in yaml.safe_load((DOCKER / name).read_text())["volumes"]}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (DOCKER / source).exists() if source.startswith("..") else source in volumes


def test_the_compose_check_refuses_a_misspelt_key() -> None:
    misspelt = {"services": {"api": {"image": "exchange/api:v0.1.0", "retsart": "always"}}}
    with pytest.raises(ValueError, match="retsart"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(misspelt))


def test_compose_ships_no_password_and_names_the_command_that_makes_one() -> None:
    text = "".join((DOCKER / name).read_text() for name in ("compose.yaml", "compose.monitoring.yaml"))
    for variable in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "GRAFANA_ADMIN_PASSWORD"):
        uses = re.findall(r"(?<!\$)\$\{" + variable + r"([^}]*)\}", text)
        assert uses and all(use.startswith(":?") and "docker/make-env.sh" in use for use in uses), variable


def test_compose_runs_our_services_locked_down_and_shows_ports_to_this_machine_only() -> None:
    services = compose("compose.yaml", "compose.monitoring.yaml")
    for name in OWN_SERVICES:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_compose_migrates_before_the_api_starts_and_serves_the_ui_after_it_is_ready() -> None:
    services = compose("compose.yaml")
    assert services["migrate"]["command"] == ["exchange", "db", "upgrade"]
    assert services["migrate"]["image"] == services["exchange-api"]["image"]
    assert services["exchange-api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["exchange-frontend"]["depends_on"]["exchange-api"]["condition"] == "service_healthy"
    assert any("/readyz" in part for part in services["exchange-api"]["healthcheck"]["test"])
