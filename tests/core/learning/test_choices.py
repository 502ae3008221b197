"""Meta-parameters: posteriors of arms, draws that decide what is tried, and where they lead."""

import math

import pytest

from ocw_mcp.core.learning.choices import ARMS, BORROWED, PATIENCE, Choices
from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.learner import Learner
from ocw_mcp.core.learning.outcomes import HeldLonger, Outcome, Source
from ocw_mcp.domain.time import DAY
from tests.support.examples import again_among_slow, some


def trade(number: int, value: float, net: float, regime: str = "calm") -> Outcome:
    return Outcome(at=1 + number * DAY, regime=regime, direction=1, signals={}, net=net, choices={"size": value})


def test_posterior_of_an_arm_equals_its_formula() -> None:
    found = Choices(["calm", "turbulent"], 1)
    nets = [1.0, -2.0, 0.5, 5.0]
    for net, regime in zip(nets, ("calm", "calm", "turbulent", "calm"), strict=True):
        found.take(trade(0, 1.0, net, regime))
    cut = [1.0, -2.0, 0.5, 3.0]
    centre = sum(cut) / 14
    variance = (sum(each * each for each in cut) + 10) / 14 - centre**2
    over_all = (sum(cut) + BORROWED * centre) / (4 + BORROWED)
    mean = (1.0 - 2.0 + 3.0 + BORROWED * over_all) / (3 + BORROWED)
    part = BORROWED / (3 + BORROWED)
    arm = found.advise("calm")["size"].arms[2]
    assert arm.mean == pytest.approx(mean)
    assert arm.deviation == pytest.approx(math.sqrt(variance * (1 / (3 + BORROWED) + part**2 / (4 + BORROWED))))
    assert arm.evidence == pytest.approx(3)


def test_every_value_is_tried_before_anything_is_known() -> None:
    tried = {Choices(["calm"], seed).advise("calm")["size"].value for seed in range(30)}
    assert tried == set(ARMS["size"])


def test_advice_stays_until_a_trade_with_choices_is_counted() -> None:
    found = Choices(["calm"], 1)
    before = found.advise("calm")
    found.take(Outcome(at=1, regime="calm", direction=1, signals={}, net=1.0))
    assert found.advise("calm") == before
    found.take(trade(1, 1.0, 1.0))
    assert found.advise("calm") != before


def test_followed_advice_finds_the_better_value() -> None:
    found, draw = Choices(["calm"], 2), generator(5)
    worth = {0.5: -0.5, 0.75: 0.0, 1.0: 0.8}
    tried = []
    for number in range(120):
        value = found.advise("calm")["size"].value
        tried.append(value)
        found.take(trade(number // 10, value, float(draw.normal(worth[value], 1))))
    assert found.advise("calm")["size"].best == 1.0
    assert tried[-40:].count(1.0) > 30


def exits(seed: int) -> list[Outcome]:
    """Followed exits in two regimes at random times, some of which were not chosen, with trades between them."""
    draw, at, found = generator(seed), 0, []
    for number in range(30):
        at += int(draw.integers(1, 40)) * DAY
        results = {value: float(draw.normal(0.02 * value, 2)) for value in PATIENCE["patience"]}
        held = HeldLonger(("calm", "turbulent")[int(draw.integers(2))], results) if draw.random() < 0.8 else None
        found.append(Outcome(at, "calm", 1, {"rsi": 0.5}, float(draw.normal()), Source.EXIT, held=held))
        if number % 3 == 0:
            found.append(Outcome(at, "turbulent", 1, {"rsi": 0.5}, float(draw.normal()), choices={"size": 0.5}))
    return found


def learner() -> Learner:
    return Learner({"rsi": "reversion"}, ["calm", "turbulent"])


@again_among_slow
@pytest.mark.parametrize("seed", some(range(30), 4))
def test_patience_has_the_faded_means_of_what_each_exit_shows(seed: int) -> None:
    outcomes, whole, first, second = exits(seed), learner(), learner(), learner()
    for each in outcomes:
        whole.take(each)
    for each in outcomes[:20]:
        first.take(each)
    second.restore(first.state())
    for each in outcomes[20:]:
        second.take(each)
    assert second.state() == whole.state()
    rows = [(each.at, each.held) for each in outcomes if each.held is not None]
    cut = [[max(-3.0, min(3.0, held.results[value])) for value in PATIENCE["patience"]] for _, held in rows]
    weights = [0.5 ** ((rows[-1][0] - at) / (180 * DAY)) for at, _ in rows]
    everyone = [(weight, reward) for weight, row in zip(weights, cut, strict=True) for reward in row]
    centre = sum(weight * reward for weight, reward in everyone) / 4 / (sum(weights) + 10)
    for regime in ("calm", "turbulent"):
        advice = whole.patience.advise(regime)["patience"]
        for arm in range(4):
            known = {}
            for name in ("calm", "turbulent"):
                here = [place for place, (_, held) in enumerate(rows) if held.regime == name]
                total = sum(weights[place] for place in here)
                count = total**2 / sum(weights[place] ** 2 for place in here)
                known[name] = count, sum(weights[place] * cut[place][arm] for place in here) / total
            seen = sum(count for count, _ in known.values())
            over_all = (sum(count * mean for count, mean in known.values()) + BORROWED * centre) / (seen + BORROWED)
            count, mean = known[regime]
            assert advice.arms[arm].evidence == pytest.approx(count)
            assert advice.arms[arm].mean == pytest.approx((count * mean + BORROWED * over_all) / (count + BORROWED))
        assert advice.value == advice.best == max(advice.arms, key=lambda each: each.mean).value
        assert advice.evidence == pytest.approx(advice.arms[0].evidence)


def test_patience_is_not_to_hold_longer_before_anything_is_known() -> None:
    assert learner().patience.advise("calm")["patience"].value == 0


def test_exits_change_no_other_meta_parameter() -> None:
    whole, trades = learner(), learner()
    for each in exits(1):
        whole.take(each)
        if each.source is Source.TRADE:
            trades.take(each)
    assert whole.choices.state() == trades.choices.state()


def test_an_exit_without_every_reward_is_refused_and_changes_nothing() -> None:
    found, before = learner(), learner().state()
    with pytest.raises(ValueError, match="expected all values"):
        found.take(Outcome(1, "calm", 1, {"rsi": 0.5}, 1.0, Source.EXIT, held=HeldLonger("calm", {0.0: 1.0})))
    assert found.state() == before
