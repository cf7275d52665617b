"""How many examples the domain's properties try: HYPOTHESIS_PROFILE=domain-search tries many more, and others each time."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("domain", max_examples=200, deadline=None, derandomize="CI" in os.environ)
settings.register_profile("domain-search", max_examples=10_000, deadline=None, derandomize=False)
