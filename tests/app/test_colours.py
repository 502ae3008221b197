"""Colours of gains, losses, fills and refusals, and when there are none."""

from decimal import Decimal
from pathlib import Path

import pytest
from rich.text import Text

from ocw_mcp.app.narrator import Narrator
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.state import TradingState
from tests.adapters.store.books import filled, refused
from tests.support.shell import Ocw

D = Decimal
GREEN, RED, YELLOW, CYAN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[36m"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    return Ocw(monkeypatch, capsys)


def style(event: events.DomainEvent) -> str:
    """Return the colour of the line of an event."""
    said: list[Text] = []
    Narrator(said.append)(0, event)
    (line,) = said
    return str(line.spans[-1].style)


@pytest.mark.parametrize(
    ("event", "colour"),
    [
        (filled(), "cyan"),
        (events.PositionClosed("BTCUSDT", 0, D("0.01"), D(1)), "green"),
        (events.PositionClosed("BTCUSDT", 0, D("-0.01"), D(1)), "red"),
        (refused(), "yellow"),
        (events.OrderRejected(OrderRef(1, Purpose.ENTRY), RejectReason.OTHER, "no"), "red"),
        (events.DrawdownReached(D(1), D(2)), "bold red"),
        (events.StateChanged(TradingState.ACTIVE, TradingState.HALTED, "so"), "bold red"),
        (events.StateChanged(TradingState.HALTED, TradingState.ACTIVE, "so"), "green"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_printed_event_has_its_colour(event: events.DomainEvent, colour: str) -> None:
    assert style(event) == colour


def test_markup_in_a_models_text_is_printed_as_text() -> None:
    said: list[Text] = []
    leg = Leg(symbol="BTCUSDT", action=Action.BUY, reasoning="[bold green]+900.00[/]")
    Narrator(said.append)(0, events.DecisionMade(1, "claude", 0, Decision((leg,))))
    assert said[0].plain.endswith("([bold green]+900.00[/])")
    assert {str(span.style) for span in said[0].spans} <= {"dim", ""}


@pytest.mark.parametrize(
    ("command", "colours"),
    [
        (("trades", "--limit", "100"), (GREEN, RED)),
        (("orders", "--all", "--limit", "100"), (CYAN, YELLOW)),
        (("watch", "--once"), (CYAN,)),
        (("status",), (GREEN,)),
    ],
)
def test_book_is_shown_in_colour_only_if_requested(
    ocw: Ocw, desk: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], colours: tuple[str, ...]
) -> None:
    plain = ocw(*command, "--state", desk).out
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = ocw(*command, "--state", desk).out
    assert all(colour in shown for colour in colours)
    monkeypatch.setenv("NO_COLOR", "1")
    shown = ocw(*command, "--state", desk).out
    assert not any(colour in shown for colour in (GREEN, RED, YELLOW, CYAN))


def test_a_report_shows_gains_and_losses_in_colour(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ("run", "--market", "sim", "--interval", "15m", "--for", "2d", "--agent", "reckless", "--quiet")
    assert "\x1b" not in ocw(*run).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = ocw(*run).out
    assert GREEN in shown
    assert RED in shown
