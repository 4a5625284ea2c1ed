"""Build the Cython engine.

ENGINE_CHECKS=1 builds it with bounds and overflow checks on, for the tests of the engine itself.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKS = os.environ.get("ENGINE_CHECKS") == "1"

setup(
    ext_modules=cythonize(
        [Extension("engine.matching.shard", ["engine/matching/shard.pyx"], extra_compile_args=["-O3", "-fwrapv"])],
        compiler_directives={"language_level": 3} | ({"boundscheck": True, "wraparound": False} if CHECKS else {}),
    )
)
