"""The scale of the size limits and extreme readings in `ocw status` and `ocw watch`."""

from pathlib import Path

from ocw_mcp.app.cli.operate import outlook_lines, status_text
from ocw_mcp.app.cli.operate import status as status_of
from ocw_mcp.app.views.live import OutlookSummary
from tests.support.shell import Ocw


def test_scale_is_shown_with_its_reasons_and_extremes() -> None:
    seen = OutlookSummary("regime turbulent 0.5, macro unknown 0.8", {"macro": "no source"}, {"ETHUSDT": ["basis"]})
    assert list(outlook_lines("0.4", seen)) == [
        "size limits ×0.4 (regime turbulent 0.5, macro unknown 0.8; macro unknown: no source)",
        "extreme derivatives: ETHUSDT basis",
    ]
    assert list(outlook_lines("1", OutlookSummary("regime calm 1, macro reflation 1"))) == [
        "size limits ×1 (regime calm 1, macro reflation 1)"
    ]


def test_status_and_watch_show_why_size_limits_are_scaled(ocw: Ocw, desk: Path) -> None:
    for command in ("status", "watch"):
        said = " ".join(ocw(command, "--state", desk).out.split())
        assert "size limits ×" in said
        assert "macro unknown: no macro source is read (settings OUTSIDE and MACRO_DIR)" in said


def test_status_of_a_book_of_an_earlier_version_lacks_the_scale(desk: Path) -> None:
    view = status_of(desk)
    del view["summary"]["outlook"], view["summary"]["scale"]
    assert "size limits" not in status_text(view).plain
