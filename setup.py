"""Build what is Cython: every engine/*/*.pyx is a module.

ENGINE_CHECKS=1 builds it for its own tests, into build/checked and nowhere else: with bounds checks of Cython's, under
AddressSanitizer and UndefinedBehaviorSanitizer of gcc, and with the allocator of tests/checked/allocations.c between it
and the C library. `make engine-checks` runs the tests on it.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKS = os.environ.get("ENGINE_CHECKS") == "1"

# Money must never rely on wrapping, so the checked build leaves signed overflow undefined and has it reported.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMPILE = ["-O1", "-g", "-fno-wrapv", "-fno-omit-frame-pointer", *SANITIZE] if CHECKS else ["-O3", "-fwrapv"]
LINK = [*SANITIZE, *(f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "free"))] if CHECKS else []
DIRECTIVES = {
    "language_level": 3,
    "wraparound": False,
    "cdivision": True,
    "boundscheck": CHECKS,
    "initializedcheck": CHECKS,
}

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source), *(["tests/checked/allocations.c"] if CHECKS else [])],
                extra_compile_args=COMPILE,
                extra_link_args=LINK,
            )
            for source in sorted(Path("engine").glob("*/*.pyx"))
        ],
        compiler_directives=DIRECTIVES,
        build_dir="build/checked/c" if CHECKS else None,
    ),
    options={"build": {"build_base": "build/checked", "build_lib": "build/checked/lib"}} if CHECKS else {},
)
