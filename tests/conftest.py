"""Settings for all tests: hypothesis measures no deadlines, for two workers share two cores."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("chattmpl", deadline=None)
hypothesis.settings.load_profile("chattmpl")
