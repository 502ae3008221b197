"""The learner: what counts, votes and trust, draws that stay, restarts and damaged states."""

import math
from typing import Any

import msgspec
import pytest

from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.learner import Learner, LearnerState, LearningSettings
from ocw_mcp.core.learning.outcomes import Exclusion, Outcome, Source
from ocw_mcp.domain.learning import Trust
from ocw_mcp.domain.time import DAY, HOUR
from tests.support.learning import REGIMES, SIGNALS, outcomes
from tests.support.regimes import draws


def learner(**settings: Any) -> Learner:
    return Learner(SIGNALS, REGIMES, LearningSettings(**settings))


def outcome(**changed: Any) -> Outcome:
    usual: dict[str, Any] = {
        "at": DAY,
        "regime": "calm",
        "direction": 1,
        "signals": {"ema": 0.5, "rsi": -0.5},
        "net": 1.0,
    }
    return Outcome(**(usual | changed))


def saved(found: Learner) -> bytes:
    return msgspec.json.encode(found.state())


def by_name(found: Learner, regime: str = "calm") -> dict[str, Any]:
    return {each.name: each for each in found.read(regime).signals}


def test_signal_is_right_if_its_sign_agrees_with_the_result() -> None:
    for direction, net in ((1, 1.0), (1, -1.0), (-1, 1.0), (-1, -1.0)):
        found = learner()
        assert found.take(outcome(direction=direction, net=net))
        read = by_name(found)
        assert (read["ema"].mean > 0.5) == (direction * net > 0)
        assert (read["rsi"].mean > 0.5) == (direction * net < 0)


def test_unknown_or_zero_signal_gives_no_evidence() -> None:
    found = learner()
    found.take(outcome(signals={"ema": 0.5, "rsi": 0.0}))
    read = by_name(found)
    assert [read[name].evidence for name in SIGNALS] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert read["ema"].mean > read["breakout"].mean >= read["rsi"].mean == read["funding"].mean > 0.5


def test_few_trades_prove_nothing_of_signals_that_go_together() -> None:
    """Results by a coin, signals that follow their group 85 % of the time: about 10 % of 90 % intervals are wrong."""
    names = {f"{group} {number}": group for group in "abcdef" for number in range(5)}
    wrong = {1: 0, 10: 0, 30: 0}
    for seed in range(20):
        found, draw = Learner(names, REGIMES), draws(seed)
        for trade in range(1, 31):
            way = {group: draw.choice([-1.0, 1.0]) for group in "abcdef"}
            said = {name: way[group] * (1 if draw.random() < 0.85 else -1) for name, group in names.items()}
            found.take(outcome(at=trade * DAY, signals=said, net=float(draw.choice([-1, 1]))))
            if trade in wrong:
                wrong[trade] += sum(each.trust is not Trust.UNPROVEN for each in found.read("calm").signals)
    assert max(wrong.values()) < 0.15 * 20 * len(names)


@pytest.mark.parametrize("changed", [{"net": 0.0}, {"signals": {"ema": 0.0}}, {"excluded": Exclusion.PERSON}])
def test_outcome_without_evidence_is_not_counted_for_signals(changed: dict[str, Any]) -> None:
    found = learner()
    assert not found.take(outcome(**changed))
    assert by_name(found)["ema"].evidence == 0
    assert found.excluded == ({"person": 1} if "excluded" in changed else {})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"regime": "stormy"}, "no regime 'stormy'"),
        ({"signals": {"moon": 1.0}}, "signals .'moon'."),
        ({"choices": {"size": 7.0}}, "size = 7.0"),
    ],
)
def test_outcome_of_unknown_names_is_refused_and_changes_nothing(changed: dict[str, Any], said: str) -> None:
    found = learner()
    before = saved(found)
    with pytest.raises(ValueError, match=said):
        found.take(outcome(**changed))
    assert saved(found) == before


@pytest.mark.parametrize(
    "changed", [{"direction": 0}, {"net": math.nan}, {"signals": {"ema": 1.1}}, {"at": -1}, {"at": 1 << 64}]
)
def test_outcome_out_of_range_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of an outcome is"):
        outcome(**changed)


def test_counterfactuals_count_in_part_up_to_their_bound() -> None:
    found = learner(counterfactuals_per_trade=0.1)
    taken = [found.take(outcome(source=Source.HOLD)) for _ in range(6)]
    assert taken == [True] * 4 + [False] * 2  # 0.1 × 20 observations, half a one each
    assert by_name(found)["ema"].evidence == pytest.approx(2.0)
    assert not learner(counterfactual_weight=0.0).take(outcome(source=Source.REFUSAL))


@pytest.mark.parametrize("net", [1.0, -1.0])
@pytest.mark.parametrize("count", [1, 7, 100, 3_000])
def test_outcomes_of_one_kind_keep_every_number_in_its_range(net: float, count: int) -> None:
    found, values = learner(), dict.fromkeys(SIGNALS, 1.0)
    for number in range(1, count + 1):
        found.take(outcome(at=number * HOUR, signals=values, net=net))
    for each in (*found.read("calm").signals, *found.read("calm").groups):
        assert 0 <= each.low <= each.high <= 1
        assert 0 < each.mean < 1
    for drawn in (False, True):
        assert -1 <= found.vote(values, "calm", drawn).score <= 1
    assert 0 <= found.payoffs.advise("calm").risk <= 0.25


def test_misleading_signal_votes_against_its_direction() -> None:
    found = learner()
    for number in range(1, 80):
        found.take(outcome(at=number * DAY, signals={"ema": 1.0, "rsi": -1.0}))
    read = by_name(found)
    assert (read["ema"].trust, read["rsi"].trust, read["funding"].trust) == (
        Trust.TRUSTED,
        Trust.DISTRUSTED,
        Trust.UNPROVEN,
    )
    assert found.vote({"rsi": 0.1}, "calm").score == -1
    assert found.vote({"ema": 0.1, "rsi": 0.1}, "calm").parts["rsi"] == read["rsi"].weight
    assert math.fsum(each.share for each in read.values()) == pytest.approx(1)
    assert read["ema"].low < read["ema"].mean < read["ema"].high


def test_vote_is_silent_while_nothing_is_known() -> None:
    vote = learner().vote(dict.fromkeys(SIGNALS, 1.0), "unknown")
    assert (vote.score, vote.log_odds) == (0, 0)


def test_draws_stay_until_an_outcome_is_counted() -> None:
    found, twin = learner(), learner()
    draws = [by_name(found, regime)["ema"].drawn for regime in ("calm", "turbulent", "calm")]
    assert draws[0] == draws[2] != draws[1]
    twin.restore(found.state())
    assert by_name(twin)["ema"].drawn == draws[0] != by_name(learner(seed=2))["ema"].drawn
    found.take(outcome())
    assert by_name(found)["ema"].drawn != draws[0]


def test_restored_learner_continues_with_equal_bits() -> None:
    rows = outcomes(generator(1), 60, sources=True)
    whole, first, second = learner(), learner(), learner()
    for row in rows:
        whole.take(row)
    for row in rows[:35]:
        first.take(row)
    second.restore(msgspec.json.decode(saved(first), type=LearnerState))
    for row in rows[35:]:
        second.take(row)
    assert saved(second) == saved(whole)
    assert [second.read(each) for each in REGIMES] == [whole.read(each) for each in REGIMES]
    assert second.choices.advise("calm") == whole.choices.advise("calm")
    assert second.payoffs.advise("calm") == whole.payoffs.advise("calm")


def test_saved_state_does_not_change_with_the_learner() -> None:
    found = learner()
    state = found.state()
    before = msgspec.json.encode(state)
    for row in outcomes(generator(2), 20):
        found.take(row)
    assert msgspec.json.encode(state) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"settings": LearningSettings(counterfactual_weight=0.0)},
            r"has other settings \(counterfactual_weight\)\. R",
        ),
        ({"signals": SIGNALS | {"rsi": "trend", "moon": "trend"}}, r"has other signals \(moon, rsi\)\. R"),
        ({"regimes": [*REGIMES, "panic"]}, r"has other regimes \(panic\)\. R"),
        ({"regimes": [*reversed(REGIMES)]}, "regimes in another order"),
    ],
)
def test_refusal_of_a_state_names_only_what_differs(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        learner().restore(msgspec.structs.replace(learner().state(), **changed))


@pytest.mark.parametrize("part", ["signals", "order", "settings", "trades", "posteriors", "payoffs", "choices"])
def test_foreign_or_damaged_state_is_refused_and_changes_nothing(part: str) -> None:
    found = learner()
    for row in outcomes(generator(3), 20):
        found.take(row)
    before, state = saved(found), found.state()
    match part:
        case "signals":
            state.signals = {"moon": "trend"}
        case "order":
            state.signals = dict(reversed(state.signals.items()))
        case "settings":
            state.settings = LearningSettings(seed=9)
        case "trades":
            state.trades = -1
        case "posteriors":
            state.posteriors.evidence = []
        case "payoffs":
            state.payoffs.sums[0][0] = math.nan
        case "choices":
            state.choices.sums["size"] = state.choices.sums["size"][:1]
    with pytest.raises(ValueError, match=r"[Rr]ebuild"):
        found.restore(state)
    assert saved(found) == before


def test_state_does_not_grow_with_outcomes() -> None:
    found, sizes = learner(), []
    for row in outcomes(generator(4), 60):
        found.take(row)
        state = found.state()
        sizes.append((len(state.posteriors.evidence), len(state.choices.sums), len(state.payoffs.sums)))
    assert len(set(sizes)) == 1
