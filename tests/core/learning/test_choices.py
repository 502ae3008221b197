"""Meta-parameters: posteriors of arms, draws that decide what is tried, and where they lead."""

import math

import pytest

from ocw_mcp.core.learning.choices import ARMS, BORROWED, Choices
from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.outcomes import Outcome
from ocw_mcp.domain.time import DAY


def trade(number: int, value: float, net: float, regime: str = "calm") -> Outcome:
    return Outcome(at=1 + number * DAY, regime=regime, direction=1, signals={}, net=net, choices={"patience": value})


def test_posterior_of_an_arm_equals_its_formula() -> None:
    found = Choices(["calm", "turbulent"], 1)
    nets = [1.0, -2.0, 0.5, 5.0]
    for net, regime in zip(nets, ("calm", "calm", "turbulent", "calm"), strict=True):
        found.take(trade(0, 2.0, net, regime))
    cut = [1.0, -2.0, 0.5, 3.0]
    centre = sum(cut) / 14
    variance = (sum(each * each for each in cut) + 10) / 14 - centre**2
    over_all = (sum(cut) + BORROWED * centre) / (4 + BORROWED)
    mean = (1.0 - 2.0 + 3.0 + BORROWED * over_all) / (3 + BORROWED)
    part = BORROWED / (3 + BORROWED)
    arm = found.advise("calm")["patience"].arms[2]
    assert arm.mean == pytest.approx(mean)
    assert arm.deviation == pytest.approx(math.sqrt(variance * (1 / (3 + BORROWED) + part**2 / (4 + BORROWED))))
    assert arm.evidence == pytest.approx(3)


def test_every_value_is_tried_before_anything_is_known() -> None:
    tried = {Choices(["calm"], seed).advise("calm")["patience"].value for seed in range(30)}
    assert tried == set(ARMS["patience"])


def test_advice_stays_until_a_trade_with_choices_is_counted() -> None:
    found = Choices(["calm"], 1)
    before = found.advise("calm")
    found.take(Outcome(at=1, regime="calm", direction=1, signals={}, net=1.0))
    assert found.advise("calm") == before
    found.take(trade(1, 1.0, 1.0))
    assert found.advise("calm") != before


def test_followed_advice_finds_the_better_value() -> None:
    found, draw = Choices(["calm"], 2), generator(5)
    worth = {0.5: -0.5, 1.0: 0.0, 2.0: 0.8}
    tried = []
    for number in range(120):
        value = found.advise("calm")["patience"].value
        tried.append(value)
        found.take(trade(number // 10, value, float(draw.normal(worth[value], 1))))
    assert found.advise("calm")["patience"].best == 2.0
    assert tried[-40:].count(2.0) > 30
