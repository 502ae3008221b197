"""The request weight of the derivatives monitor on the sandbox exchange, as its benchmark measures it."""

import pytest

from ocw_mcp.app.bench import derivatives
from ocw_mcp.app.bench.derivatives import measure

pytestmark = pytest.mark.slow


def test_monitor_stays_within_its_share_of_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivatives, "SYMBOLS", 6)
    monkeypatch.setattr(derivatives, "MINUTES", 7)
    found = measure()
    for kind in ("usual", "all_extreme"):
        run = found[kind]
        assert 0 < run["share_of_weight"] < found["allowed_share"] / 5
        assert run["data_requests_of_five_minutes"] == 6 * 6
        assert run["all_readings_known_after_s"] < 60
        assert run["incidents"] == 0
    assert found["all_extreme"]["requests"] > found["usual"]["requests"]
