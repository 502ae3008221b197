"""The meta-parameters with which an entry was made, derived from the entry itself.

Each is a factor of what the policies have, put on the nearest value of its grid by ratio. A parameter is left out if it
is unknown, or if the entry has a value that no value of the grid stands for.
"""

import math
from decimal import Decimal

from ocw_mcp.core.learning.choices import ARMS
from ocw_mcp.core.strategy import proposed_stop
from ocw_mcp.core.strategy.rule_score import RuleScore, rule_score_of
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.unknown import Unknown


def entry_choices(intent: OrderIntent, view: SymbolView, seen: Snapshot, policies: Policies) -> dict[str, float]:
    """Return the value of the grid for each meta-parameter of an entry that is known."""
    price = view.last if intent.limit_price is None else float(intent.limit_price)
    if isinstance(price, Unknown) or price <= 0 or intent.protect_at is None:
        return {}
    sign, distance = intent.side.sign, abs(price - float(intent.protect_at)) / price
    rule_score = rule_score_of(view, seen, policies)
    usual = proposed_stop(view, sign, policies)
    target = 1.0 if intent.target_at is None else abs(float(intent.target_at) / price - 1)
    found: dict[str, float | None] = {
        "size": _nearest("size", _share_of_largest(intent.quantity, price, distance, seen, policies)),
        "target": 1.0 if intent.target_at is None else _nearest("target", target / float(policies.exits.take_profit)),
    }
    if rule_score is not None:
        found["selectivity"] = _passed(sign * rule_score.total / policies.rules.entry_score)
        found["trend"] = _trend(rule_score, sign)
    if usual is not None and usual > 0 and not isinstance(view.last, Unknown):
        found["loss_tolerance"] = _nearest("loss_tolerance", distance / abs(1 - usual / view.last))
    return {name: value for name in ARMS if (value := found.get(name)) is not None}


def _share_of_largest(
    quantity: Decimal, price: float, distance: float, seen: Snapshot, policies: Policies
) -> float | None:
    """Return the size as a share of the largest that the limits of one position allow, by notional and by risk."""
    equity, scale = float(seen.equity), float(seen.scale)
    if equity <= 0 or scale <= 0:
        return None
    share = float(quantity) * price / equity
    loss = share * (distance + float(policies.risk.gap_allowance))
    return max(share / float(policies.position.max_share), loss / float(policies.risk.max_share)) / scale


def _passed(ratio: float) -> float | None:
    """Return the largest selectivity that a score passes, given as its ratio to the least score of an entry.

    None if it passes none: an entry without such a score was not chosen by it.
    """
    return max((value for value in ARMS["selectivity"] if ratio >= value * (1 - 1e-9)), default=None)


def _trend(rule_score: RuleScore, sign: int) -> float | None:
    """Return the part of momentum in what speaks for an entry; None if neither momentum nor reversion does."""
    momentum = max(0.0, sign * rule_score.weight * rule_score.momentum)
    reversion = max(0.0, sign * (1 - rule_score.weight) * rule_score.reversion)
    if momentum + reversion <= 0:
        return None
    part = momentum / (momentum + reversion)
    return min(ARMS["trend"], key=lambda value: abs(value - part))


def _nearest(name: str, ratio: float | None) -> float | None:
    """Return the value of a grid that is nearest to a positive factor by ratio; the ends stand for all beyond them."""
    if ratio is None or ratio <= 0 or not math.isfinite(ratio):
        return None
    return min(ARMS[name], key=lambda value: abs(math.log(value / ratio)))
