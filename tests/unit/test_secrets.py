"""The secrets of an installation, made by whichever process starts first."""

import subprocess
import sys
from pathlib import Path

from exchange.installation.secrets import installation_secrets

READ = "import sys; from pathlib import Path; from exchange.installation.secrets import installation_secrets as made; \
print(sorted(made(Path(sys.argv[1])).items()))"


def test_they_are_made_once_and_read_by_their_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = installation_secrets(home)
    assert installation_secrets(home) == made
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    home = tmp_path / "home"
    started = [
        subprocess.Popen([sys.executable, "-c", READ, home], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    told = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 6, told
    assert len({out for out, _ in told}) == 1
