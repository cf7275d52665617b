"""What the tests of functions share: what the function under test writes."""

from __future__ import annotations

import io

import pytest

from orderphase import telemetry
from tests.functions.deployed import Output


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Output:
    logs = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", logs)
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", "Orderphase")
    monkeypatch.setattr(telemetry.metrics.provider, "service", "flow")
    return Output(logs, capsys)
