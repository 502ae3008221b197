"""The start warns if the policy that `[tainted]` names is not stricter than the policy itself."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.app.markets import open_market
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.core.risk.limits import TAINTED_KEYS
from ocw_mcp.domain.policies import ApprovalPolicy, Policies, looser_and_stricter
from ocw_mcp.domain.policies import not_stricter as compare
from ocw_mcp.domain.state import Mode
from tests.support.runs import policies

USUAL = load_policies(None).policies
STRICT = load_policies(None).strict


def not_stricter(strict: Policies, usual: Policies) -> str:
    return compare(strict, usual, TAINTED_KEYS)


def changed(policy: Policies, table: str, **keys: Any) -> Policies:
    return policy.model_copy(update={table: getattr(policy, table).model_copy(update=keys)})


@pytest.mark.parametrize("name", ["default", "lab"])
def test_each_shipped_policy_names_a_stricter_policy(name: str) -> None:
    loaded = load_policies(None, name)
    assert not_stricter(loaded.strict, loaded.policies) == ""
    assert "order.max_notional" in not_stricter(loaded.policies, loaded.strict)


def test_policy_that_names_itself_as_stricter_gives_a_remark() -> None:
    loaded = load_policies(None, "conservative")
    assert "is not stricter than conservative: it is the same policy" in not_stricter(loaded.strict, loaded.policies)


@pytest.mark.parametrize(
    ("table", "keys", "named"),
    [
        ("position", {"max_share": Decimal("0.9")}, "position.max_share"),
        ("order", {"price_allowance": Decimal("0.01")}, "order.price_allowance"),
        ("margin", {"min_free": Decimal(0)}, "margin.min_free"),
        ("pace", {"reentry_s": 0}, "pace.reentry_s"),
        ("symbols", {"allow": ("*USDT", "*BTC")}, "symbols.allow"),
        ("scale", {"macro_unknown": Decimal(1)}, "scale.macro_unknown"),
    ],
)
def test_policy_comparison_names_each_looser_limit(table: str, keys: dict[str, Any], named: str) -> None:
    assert f"{named} is looser there" in not_stricter(changed(STRICT, table, **keys), USUAL)


def test_one_stricter_limit_makes_a_policy_stricter() -> None:
    assert not_stricter(changed(USUAL, "leverage", max=1, usual=1), USUAL) == ""
    assert not_stricter(changed(USUAL, "symbols", allow=("BTCUSDT",)), USUAL) == ""
    assert "no limit of a tainted entry is stricter there" in not_stricter(changed(USUAL, "gate", cooldown_s=1), USUAL)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("budget", "usd_per_day", Decimal(0)),
        ("callers", "notes_per_minute", 1),
        ("exits", "max_loss", Decimal("0.001")),
        ("score", "exit", 0.01),
        ("stop", "deadline_s", 1),
        ("pace", "reductions_per_minute", 1),
        ("drawdown", "max_share", Decimal("0.001")),
        ("data", "slack_s", 0),
        ("correlated", "symbols", ("*",)),
    ],
)
def test_policy_comparison_ignores_keys_that_do_not_limit_entries(table: str, key: str, value: Any) -> None:
    lower = changed(USUAL, table, **{key: value})
    assert looser_and_stricter(lower, USUAL) == ([], [f"{table}.{key}"])
    assert "no limit of a tainted entry is stricter there" in not_stricter(lower, USUAL)
    looser = changed(STRICT, table, **{key: getattr(getattr(USUAL, table), key)})
    assert not_stricter(looser, USUAL) == ""


def test_approval_in_more_modes_is_stricter() -> None:
    few, many = (USUAL.model_copy(update={"approval": ApprovalPolicy(modes=modes)}) for modes in ((), (Mode.LIVE,)))
    assert not_stricter(many, few) == ""
    assert "approval.modes is looser there" in not_stricter(few, many)


def test_stricter_keys_are_looser_in_the_reverse_comparison() -> None:
    assert looser_and_stricter(STRICT, USUAL)[1] == looser_and_stricter(USUAL, STRICT)[0]


@pytest.mark.parametrize(("strict", "warned"), [(policies(), True), (STRICT, False)])
def test_run_warns_if_the_policy_for_tainted_entries_is_not_stricter(
    strict: Policies, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_policies(None)
    feed = open_market("sim", product=None, interval="15m", symbols=(), seed=1)
    job = Job(feed, "none", LoadedPolicies(USUAL, loaded.hash, "mine.toml", strict), load_prompts(None), 60_000, None)
    run(job)
    output = capsys.readouterr()
    assert ("is not stricter than default" in output.out + output.err) is warned
