"""The live clock follows the exchange's time, and takes a longer step only if the machine's clock agrees."""

import pytest

from ocw_mcp.domain.time import HOUR, SECOND
from ocw_mcp.runtime.clock import LiveClock
from tests.support.markets import START


class Steered(LiveClock):
    """A live clock whose machine, monotonic time and exchange a test sets."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.ahead = self.exchange_ahead = 0
        super().__init__()
        self.follow(lambda: START + round(self.passed) + self.exchange_ahead)

    def wall_ms(self) -> float:
        return self.passed

    def machine(self) -> int:
        return START + round(self.passed) + self.ahead


def test_time_is_that_of_the_machine_until_the_exchange_is_known() -> None:
    clock = Steered()
    clock.ahead, clock.exchange_ahead = HOUR, 0
    clock.follow(lambda: None)
    assert clock.now() == START + HOUR
    clock.follow(lambda: START)
    assert clock.now() == START


@pytest.mark.parametrize("jump", [5 * SECOND, -5 * SECOND, HOUR, -HOUR])
def test_jump_of_one_clock_alone_does_not_move_the_time(jump: int) -> None:
    clock = Steered()
    for name in ("ahead", "exchange_ahead"):
        assert clock.now() == START + round(clock.passed)
        setattr(clock, name, jump)
        clock.passed += 60 * SECOND
        assert clock.now() == START + round(clock.passed)
        setattr(clock, name, 0)
    assert clock.now() == START + round(clock.passed)


def test_step_on_which_both_clocks_agree_is_taken() -> None:
    """As after the sleep of a laptop, in which the monotonic time stands still."""
    clock = Steered()
    assert clock.now() == START
    clock.ahead = clock.exchange_ahead = HOUR
    assert clock.now() == START + HOUR


def test_small_corrections_of_the_exchange_are_followed() -> None:
    clock = Steered()
    assert clock.now() == START
    clock.exchange_ahead = -300
    assert clock.now() == START - 300


def test_held_clock_stands_still_while_the_exchange_goes_on() -> None:
    clock = Steered()
    clock.hold()
    clock.passed += HOUR
    assert clock.now() == START
    clock.release()
    assert clock.now() == START + HOUR
