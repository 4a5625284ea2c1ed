"""The image recipes and the compose files: linted, valid, locked down, and made of files that are there."""

from __future__ import annotations

import fnmatch
import re
import subprocess

import compose_spec
import pytest
import yaml

from tests.delivery.manifests import REPOSITORY, Manifest, Tool, of_kind

DOCKER = REPOSITORY / "docker"
RECIPE = DOCKER / "Dockerfile"
TARGETS = ["api", "frontend"]
OWN_SERVICES = ["exchange-api", "exchange-frontend", "migrate"]


def stages() -> dict[str, list[tuple[str, str]]]:
    """(keyword, arguments) of each instruction by stage, with continued lines joined and comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", RECIPE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    steps: list[tuple[str, str]] = []
    for line in filter(str.strip, text.splitlines()):
        keyword, arguments = line.split(maxsplit=1)
        if keyword == "FROM":
            steps = found[arguments.split(" AS ")[1]] = []
        steps.append((keyword, arguments))
    return found


def compose(*names: str) -> Manifest:
    """The services of the compose files, later files laid over earlier ones by service."""
    services: Manifest = {}
    for name in names:
        services |= yaml.safe_load((DOCKER / name).read_text())["services"]
    return services


def test_the_recipe_has_no_lint(tool: Tool) -> None:
    command = [tool("hadolint"), "--failure-threshold", "style", str(RECIPE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_unprivileged_with_a_health_check_and_no_shell_between_signals_and_process(target: str) -> None:
    last = dict(stages()[target])
    user, group = last["USER"].split(":")
    assert min(int(user), int(group)) > 0, "numeric, so that Kubernetes can prove it is not root"
    assert last["HEALTHCHECK"]
    assert last["CMD"].startswith("[")


def test_no_base_image_is_whatever_is_latest() -> None:
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", RECIPE.read_text(), flags=re.MULTILINE))
    for steps in stages().values():
        image = steps[0][1].split()[0]
        tag = re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], image).partition(":")[2]
        assert re.match(r"\d", tag), image


def test_the_ids_in_the_manifests_are_those_of_the_images(plain: list[Manifest]) -> None:
    for target, workload in (("api", "exchange-api"), ("frontend", "exchange-frontend")):
        user, group = dict(stages()[target])["USER"].split(":")
        context = of_kind(plain, "Deployment")[workload]["spec"]["template"]["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))


def test_what_the_recipe_copies_exists_and_is_let_through_by_dockerignore() -> None:
    ignore = (REPOSITORY / ".dockerignore").read_text().splitlines()
    lines = [line for line in ignore if line and not line.startswith("#")]
    assert lines[0] == "*", "nothing enters a build unless it is named"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        source
        for steps in stages().values()
        for keyword, arguments in steps
        if keyword == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert {"requirements.lock", "engine", "backend", "frontend"} <= set(copied)
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert any(source == entry or source.startswith(entry + "/") for entry in allowed), source


def test_no_secret_and_nothing_built_enters_an_image() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if (line and line[0] not in "#!*") or line.startswith("**/")]
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
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(RECIPE)
            assert service["build"]["target"] in stages()


def test_the_compose_check_refuses_a_misspelt_key() -> None:
    misspelt = {"services": {"api": {"image": "exchange/api:v0.1.0", "retsart": "always"}}}
    with pytest.raises(ValueError, match="retsart"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(misspelt))


def test_compose_ships_no_password_and_names_the_command_that_makes_one() -> None:
    text = "".join((DOCKER / name).read_text() for name in ("compose.yaml", "compose.monitoring.yaml"))
    for variable in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "GRAFANA_ADMIN_PASSWORD"):
        uses = re.findall(r"(?<!\$)\$\{" + variable + r"([^}]*)\}", text)
        assert uses, variable
        assert all(use.startswith(":?") and "docker/make-env.sh" in use for use in uses), variable


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
