"""requirements.lock installs all that the product imports: what only the tests' environment has must not be needed."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.delivery.manifests import REPOSITORY

# Imports every module of the product while the packages that are not locked cannot be found. Arguments: the locked.
IMPORT_ALL = """
import importlib, importlib.abc, importlib.metadata, pkgutil, re, sys

locked = set(sys.argv[1:]) | {"exchange"}
installed = importlib.metadata.packages_distributions()
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
missing = {top for top, names in installed.items() if not locked & {normal(name) for name in names}}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"{name} is not in requirements.lock", name=name)

sys.meta_path.insert(0, Missing())
for root in ("engine", "exchange"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        if ".migrations." not in module.name:
            importlib.import_module(module.name)
            print(module.name)
"""


def import_all(locked: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", IMPORT_ALL, *sorted(locked)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def locked() -> set[str]:
    text = (REPOSITORY / "requirements.lock").read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9-]*)==", text, flags=re.MULTILINE))


def test_the_product_imports_only_what_its_lock_installs() -> None:
    result = import_all(locked())
    assert result.returncode == 0, result.stderr
    assert "exchange.main" in result.stdout.split()


def test_a_package_missing_from_the_lock_is_noticed() -> None:
    result = import_all(locked() - {"greenlet"})
    assert result.returncode != 0
    assert "greenlet" in result.stderr
