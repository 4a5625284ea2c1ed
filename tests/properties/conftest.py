"""Hypothesis profiles: `ci` is the same every time, `checked` a short one for the checked engine.

HYPOTHESIS_PROFILE=nightly searches anew and longer.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_UNHURRIED = settings.get_profile("unhurried")

settings.register_profile("ci", _UNHURRIED, max_examples=100, stateful_step_count=40, derandomize=True)
settings.register_profile("nightly", _UNHURRIED, max_examples=2_000, stateful_step_count=60)
settings.register_profile("checked", _UNHURRIED, max_examples=12, stateful_step_count=25, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
