"""The view of the built-in rules on each symbol, and the review of a position, as text."""

from decimal import Decimal
from typing import Final

from ocw_mcp.core import strategy
from ocw_mcp.core.strategy.position_score import WEIGHTS, score_position
from ocw_mcp.core.strategy.rule_score import RuleScore, read_rule_score, rule_score_of
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.policies import Policies, RulesPolicy
from ocw_mcp.domain.snapshot import Feasible, PositionView, Snapshot, SymbolView, WakeKind
from ocw_mcp.render.event_text import leg_text
from ocw_mcp.render.readings_text import percent
from ocw_mcp.render.text import cents

HALF: Final = Decimal("0.5")


def rules_text(snapshot: Snapshot, policies: Policies) -> str:
    """Return what the rules would do on each symbol, with the parts of their score and the reason; one line a symbol.

    The symbols without a position that they would not enter, and that have no event, share one line.
    """
    legs = {leg.symbol: leg for leg in strategy.decide(snapshot, policies).legs}
    events = {each.symbol for each in snapshot.wake} | snapshot.positions.keys() | legs.keys()
    lines, quiet = [], []
    for symbol, view in snapshot.symbols.items():
        rule_score = rule_score_of(view, snapshot, policies)
        verdict = _verdict(view, rule_score, legs.get(symbol), snapshot.product, policies.rules)
        if rule_score is None:
            quiet.append(f"{symbol} ?")
        elif symbol in events or "no size" in verdict:
            lines.append(f"{symbol} {rule_score.total:+.2f} ({_parts(rule_score)}): {verdict}")
        else:
            quiet.append(f"{symbol} {rule_score.total:+.2f}")
    return "\n".join([*lines, *([f"no entry: {', '.join(quiet)}"] if quiet else [])])


def _parts(rule_score: RuleScore) -> str:
    tilt = f", derivatives {rule_score.tilt:+.2f}" if rule_score.tilt else ""
    tilt += f", learned {rule_score.learned:+.2f}" if rule_score.learned else ""
    moved = f", {rule_score.weight:.0%} momentum by the regime" if rule_score.weight != rule_score.trend else ""
    return (
        f"{rule_score.timeframe} momentum {rule_score.momentum:+.2f}, reversion {rule_score.reversion:+.2f}, "
        f"trend {rule_score.trend:.0%} by adx_14 {rule_score.adx:.0f}{moved}{tilt}"
    )


def _verdict(
    view: SymbolView, rule_score: RuleScore | None, leg: Leg | None, product: Product, rules: RulesPolicy
) -> str:
    if leg is not None:
        return leg_text(leg) + (f" ({leg.reasoning})" if leg.reasoning and not leg.action.adds_risk else "")
    if view.position is not None:
        way = 1 if view.position.quantity > 0 else -1
        return f"keep, exit at {-way * rules.exit_score:+.2f}"
    if rule_score is None:
        return "a reading is unknown"
    long = rule_score.total > 0
    if abs(rule_score.total) < rules.entry_score:
        return f"no entry below {rules.entry_score:.2f}"
    if not long and product is Product.SPOT:
        return "no short on spot"
    if rule_score.rsi >= rules.rsi_too_high if long else rule_score.rsi <= rules.rsi_too_low:
        return f"no entry, too late by rsi_14 {rule_score.rsi:.0f}"
    return f"{'BUY' if long else 'SHORT'}, but no size passes{_binding(view, long=long)}"


def _binding(view: SymbolView, *, long: bool) -> str:
    """Return the limit that lets no size pass, in brackets; empty if none is known."""
    if not isinstance(view.feasible, Feasible):
        return ""
    steps = view.feasible.long if long else view.feasible.short
    barred = next((each for each in steps if not each.size), None)
    return "" if barred is None else f" ({barred.key or barred.code}: {barred.why})"


def review_text(snapshot: Snapshot, policies: Policies) -> str:
    """Return the review of the positions whose score woke the reader: the score by parts, and what actions would do.

    It is empty if no score is among the reasons of the wake.
    """
    asked = {wake.symbol for wake in snapshot.wake for each in wake.reasons if each.kind is WakeKind.SCORE}
    held = [position for symbol, position in snapshot.positions.items() if symbol in asked]
    return "\n".join(line for each in held for line in _review(each, snapshot, policies))


def _review(held: PositionView, snapshot: Snapshot, policies: Policies) -> list[str]:
    rule_score = read_rule_score(snapshot.symbols[held.symbol], policies.rules, snapshot.regime)
    score = score_position(held, rule_score, snapshot, policies.exits.max_hold_h)
    parts = ", ".join(
        f"{name} {'?' if value is None else format(value, '.2f')} × {WEIGHTS[name]:g}"
        for name, value in score.parts.items()
    )
    size, close = abs(held.quantity), "SELL" if held.quantity > 0 else "COVER"
    half = size * HALF
    at_stop = "" if held.stop is None else f", risk left {_risk(held, half, snapshot.equity)}"
    limit, mark = "up, below" if held.quantity > 0 else "down, above", plain(held.mark)
    stop = "set a stop" if held.stop is None else f"move the stop from {plain(held.stop)} {limit} {mark}"
    exits = "now" if score.total >= policies.score.exit else f"from {policies.score.exit:g}"
    return [
        f"{held.symbol} score {score.total:.2f} = {parts}",
        f"{close} closes {plain(size)} near {mark}: {cents(held.unrealised, signed=True)} before fees; "
        f"REDUCE share 0.5 closes {plain(half)}: {cents(held.unrealised * HALF, signed=True)}{at_stop}; "
        f"PROTECT may {stop}; HOLD keeps all, and the guard closes it {exits}",
    ]


def _risk(held: PositionView, size: Decimal, equity: Decimal) -> str:
    assert held.stop is not None, "only a position with a stop has a known risk"
    away = max(ZERO, (held.mark - held.stop) * (1 if held.quantity > 0 else -1))
    return f"{percent(away * size / equity)} of equity" if equity > 0 else "?"
