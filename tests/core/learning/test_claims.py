"""What deciders claim is counted apart from the posteriors."""

from random import Random  # noqa: TID251 - seeded

import msgspec
import pytest

from ocw_mcp.core.learning.claims import Claims
from ocw_mcp.domain.learning import LearnedClaim, OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from tests.support.examples import again_among_slow, some


def trades(seed: int, count: int = 60) -> list[OutcomeScored]:
    draw = Random(seed)
    return [
        OutcomeScored(
            draw.choice(list(OutcomeSource)),
            *("BTCUSDT", number, "calm", draw.choice((1, -1))),
            {name: draw.choice((-0.5, 0.0, 0.5)) for name in ("a", "b") if draw.random() < 0.8},
            net=draw.choice((-1.0, 0.0, 2.0)),
            excluded=draw.choice((None, None, OutcomeExclusion.PERSON)),
            claimed={name: draw.choice((-1.0, 0.0, 0.5)) for name in ("a", "b") if draw.random() < 0.6},
        )
        for number in range(count)
    ]


def expected(found: list[OutcomeScored], name: str) -> list[LearnedClaim]:
    """The claims of a signal, one trade after the other."""
    weights, silent, along, right = list[float](), 0, 0, 0
    for each in found:
        weight = each.claimed.get(name, 0.0)
        if each.source != "trade" or each.excluded or each.net == 0 or weight == 0:
            continue
        weights.append(weight)
        value = each.values.get(name, 0.0)
        if value == 0:
            silent += 1
            continue
        side = 1 if (value > 0) == (weight > 0) else -1
        rose = (each.direction > 0) == (each.net > 0)
        along += side == each.direction
        right += (side > 0) == rose
    if not weights:
        return []
    return [LearnedClaim(name, round(sum(weights) / len(weights), 9), len(weights), silent, along, right)]


@again_among_slow
@pytest.mark.parametrize("seed", some(range(20), 3))
def test_claims_are_counted_as_one_trade_after_the_other(seed: int) -> None:
    found, claims, again = trades(seed), Claims(), Claims()
    for each in found[:30]:
        claims.take(each)
    again.restore(claims.state())
    for each in found[30:]:
        again.take(each)
    read = [msgspec.structs.replace(each, weight=round(each.weight, 9)) for each in again.read()]
    assert sorted(read, key=lambda each: each.name) == [*expected(found, "a"), *expected(found, "b")]
