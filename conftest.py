"""In CI a test that could have run must not be skipped: where the real networks are at hand, a skip is a failure."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # with more, sums are rounded otherwise for a batch than for its images

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parent.parent / "shared" / "data"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and DATA.is_dir() and skipped and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped where the data is at hand: a failure in CI.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
