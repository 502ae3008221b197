"""Fits of the regime: known states are recovered, BIC is right, degenerate days are refused, nothing looks ahead."""

import time
from pathlib import Path

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.regime import picture
from ocw_mcp.app.regime.days import read_days
from ocw_mcp.app.regime.history import follow, report
from ocw_mcp.core.regime.features import WINDOW, features_of
from ocw_mcp.core.regime.fitting import fit, fit_of, parameters
from ocw_mcp.core.regime.model import filtered
from ocw_mcp.core.regime.tracker import SETTINGS, RegimeSettings, RegimeTracker
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import FitRequest, Level, RegimeFit, RegimeReading
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown
from tests.support.regimes import Floats, candles, chain, draws

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STICKY = ((0.98, 0.02, 0.0), (0.01, 0.98, 0.01), (0.0, 0.02, 0.98))
PAIR = ((0.98, 0.02), (0.03, 0.97))


def known_rows(seed: int, states: int, count: int = 900, apart: float = 3.0) -> tuple[list[int], Floats]:
    """Return the states of a chain and its rows, whose second column is `apart` standard deviations apart by state."""
    draw = draws(seed, "rows")
    true = chain(draw, STICKY if states == 3 else PAIR, count)
    means = np.array([(0.0, apart * state) for state in range(states)])
    return true, means[true] + draw.normal(size=(count, 2))


def fitted(rows: Floats, seed: int = 1, overlap: int = 1) -> RegimeFit:
    found = fit(rows, seed, overlap)
    assert isinstance(found, RegimeFit), found
    return found


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_separable_states_are_recovered_on_nine_days_of_ten(states: int, seed: int) -> None:
    true, rows = known_rows(seed, states)
    found = fitted(rows)
    assert found.model.states == states
    assert np.mean(filtered(found.model, rows)[0].argmax(axis=1) == true) >= 0.9
    stays = [row[place] for place, row in enumerate(found.model.transitions)]
    assert stays == pytest.approx([row[place] for place, row in enumerate((STICKY, PAIR)[states == 2])], abs=0.04)


def test_states_of_days_that_were_not_fitted_are_recovered() -> None:
    true, rows = known_rows(4, 3, 1_800)
    model = fitted(rows[:900]).model
    assert np.mean(filtered(model, rows)[0].argmax(axis=1)[900:] == true[900:]) >= 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_regimes_of_candles_are_recovered_on_nine_days_of_ten(seed: int) -> None:
    """Volatility of 20 % and of 150 % a year in turn, 120 to 240 days each; half a window passes until it shows."""
    draw = draws(seed, "candles")
    true = np.repeat(np.arange(8) % 2, draw.integers(120, 240, 8))
    days = candles((draw.normal(size=len(true)) * np.array([0.0105, 0.0785])[true]).tolist())
    history = follow(days, seed)
    calm = {day.candle.close_time: state == 0 for day, state in zip(history.days, true.tolist(), strict=True)}
    read = [(reading.level is Level.CALM) == calm[reading.at] for _, reading in history.known]
    assert len(read) > 700
    assert np.mean(read) >= 0.9


def test_bic_equals_that_of_the_library() -> None:
    from hmmlearn.hmm import GaussianHMM

    _, rows = known_rows(1, 3)
    found = fitted(rows, overlap=3)
    model, scaled = found.model, (rows - rows.mean(axis=0)) / rows.std(axis=0)
    other = GaussianHMM(3, "diag", init_params="")
    other.n_features = 2
    other.startprob_, other.transmat_ = np.array(model.start), np.array(model.transitions)
    other.means_, other.covars_ = np.array(model.means), np.array(model.variances)
    chosen = next(each for each in found.candidates if each.states == 3)
    assert chosen.bic == pytest.approx(float(other.bic(scaled)), rel=1e-6)
    assert chosen.log_likelihood == pytest.approx(float(other.score(scaled)), rel=1e-6)
    assert chosen.log_likelihood is not None
    assert chosen.thinned_bic == pytest.approx(-2 * chosen.log_likelihood / 3 + chosen.parameters * np.log(300))
    assert [each.parameters for each in found.candidates] == [parameters(states, 2) for states in (1, 2, 3, 4)]
    assert parameters(3, 2) == 2 + 6 + 6 + 6


def test_likelihood_of_one_state_is_that_of_a_normal_distribution() -> None:
    from scipy.stats import norm

    _, rows = known_rows(1, 3)
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    assert fitted(rows).candidates[0].log_likelihood == pytest.approx(float(norm.logpdf(scaled).sum()))


def test_same_rows_and_seed_give_the_same_bits() -> None:
    _, rows = known_rows(1, 3)
    assert fitted(rows) == fitted(rows.copy())


def test_other_seed_finds_the_same_states() -> None:
    _, rows = known_rows(2, 3)
    one, other = (filtered(fitted(rows, seed).model, rows)[0].argmax(axis=1) for seed in (1, 8))
    assert np.mean(one == other) > 0.99


def test_tiny_differences_of_the_rows_do_not_change_the_model() -> None:
    """Another processor computes the same rows with other last bits."""
    _, rows = known_rows(3, 2)
    noise = 1 + 1e-15 * draws(3, "bits").normal(size=rows.shape)
    one, other = fitted(rows).model, fitted(rows * noise).model
    assert np.array(other.means) == pytest.approx(np.array(one.means), abs=1e-6)
    assert np.array(other.transitions) == pytest.approx(np.array(one.transitions), abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((199, 3)), "needs 200 days, has 199"),
        (np.zeros((400, 3)), "a feature never changes"),
        (np.full((400, 3), np.nan), "not finite"),
        (draws(1).normal(size=(600, 3)), "one state describes the days best"),
    ],
)
def test_degenerate_rows_are_refused(rows: Floats, reason: str) -> None:
    found = fit(rows)
    assert isinstance(found, Unknown)
    assert reason in found.reason


def test_state_of_few_days_is_not_chosen() -> None:
    rows = draws(2).normal(size=(600, 2))
    rows[300:304] += 40
    found = fit(rows)
    assert isinstance(found, Unknown) or min(filtered(found.model, rows)[0].sum(axis=0)) >= 9.0, (
        "a state of four days is an outlier, not a regime"
    )


def test_states_without_variance_are_refused() -> None:
    rows = np.column_stack([draws(3).normal(size=500), np.repeat([0.0, 1.0], 250)])
    found = fit(rows)
    assert isinstance(found, Unknown)
    assert found.reason.startswith("no fit is usable: ")


def test_refit_of_a_year_takes_less_than_two_seconds() -> None:
    year = FitRequest("BTCUSDT", 0, tuple(map(tuple, _rows_of_walk(365).tolist())), 1)
    fit_of(year)
    began = time.process_time()  # of this process alone: other tests run beside it
    assert isinstance(fit_of(year), RegimeFit)
    assert time.process_time() - began < 2


def _rows_of_walk(count: int) -> Floats:
    sizes = np.array([0.01, 0.05])[np.arange(count + 27) // 60 % 2]
    days = candles((draws(5).normal(size=count + 27) * sizes).tolist())
    rows = features_of([(each.close_time, each.close) for each in days])
    assert not isinstance(rows, Unknown)
    return rows


QUICK = RegimeSettings(fit_days=260, first_fit=230)


@pytest.mark.parametrize("cut", [258, 270, 284, 290, 330, 359])
def test_reading_never_changes_when_later_days_are_added(cut: int) -> None:
    """The days after the cut are replaced by a crash; fits are made from real rows, on both sides of the cut."""
    sizes = np.array([0.01, 0.05])[np.arange(360) // 45 % 2]
    returns = (draws(6).normal(size=360) * sizes).tolist()
    whole, other = (_readings(candles(each)) for each in (returns, [*returns[:cut], *[-0.2, 0.15] * 8]))
    assert other[:cut] == whole[:cut]
    assert any(isinstance(each, RegimeReading) for each in whole[:cut])


def _readings(days: list[Candle]) -> list[RegimeReading | Unknown]:
    tracker, readings = RegimeTracker(1, QUICK), []
    for candle in days:
        request = tracker.close(candle)
        if request is not None:
            tracker.take(request.at, fit_of(request))
        readings.append(tracker.reading)
    return readings


def test_levels_of_bitcoin_order_the_volatility_of_the_next_day(tapes: Path) -> None:
    path = tapes / "vision" / "spot" / "monthly" / "klines" / "BTCUSDT" / "1d"
    days = read_days(TapeFeed.open(path, None, "1d", None))[:1_100]
    found = report(follow(days, 1))
    volatilities = [found["levels"][level.value]["next_day_volatility"] for level in Level]
    assert volatilities[0] == min(volatilities)
    assert volatilities[2] > 1.3 * volatilities[0]
    assert found["days_known"] == len(days) - SETTINGS.first_fit - 27
    crash = next(day for day in found["readings"] if day["day"] == "2020-03-13")
    assert crash["level"] == "turbulent"
    assert len(found["refits"]) == pytest.approx((days[-1].close_time - days[392].close_time) / (28 * DAY), abs=1.1)
    assert all(each["states"] in (2, 3, 4) for each in found["refits"])
    assert WINDOW == 14


def test_picture_of_a_regime_is_drawn_and_the_same_again(tmp_path: Path) -> None:
    draw = draws(7, "picture")
    history = follow(candles((draw.normal(size=430) * np.array([0.01, 0.05])[np.arange(430) // 60 % 2]).tolist()), 1)
    for name in ("one.svg", "two.svg", "one.png"):
        picture.draw(tmp_path / name, history, report(history))
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG"
    drawn = (tmp_path / "one.svg").read_text()
    assert all(colour in drawn for colour in (picture.COLOURS[Level.CALM], picture.COLOURS[Level.TURBULENT]))


def test_picture_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    history = follow(candles([0.01, -0.02] * 30), 1)
    with pytest.raises(SettingsError, match="cannot be written"):
        picture.draw(tmp_path / "missing" / "one.png", history, report(history))
