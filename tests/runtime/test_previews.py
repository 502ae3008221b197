"""The previews of one caller displace none of another caller."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.asks import RequestKey
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.orders import MOST_TOKENS, OrderRef, Purpose, Side
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.engine.idempotency import CALLERS_KEPT, Answers
from ocw_mcp.runtime.trading import MOST, MOST_NAMES, Preview, Previews
from tests.support.runs import Unhurried

LEG = Leg("BTCUSDT", Action.BUY, Decimal("0.1"))


def previews() -> Previews:
    numbers = iter(range(1_000_000))
    return Previews(Unhurried(), lambda: f"p{next(numbers)}")


def keep(kept: Previews, who: str) -> Preview:
    return kept.keep(who, LEG, None, Decimal(1), Side.BUY)


def test_many_client_names_drop_only_previews_of_their_access_token() -> None:
    kept = previews()
    others, first = keep(kept, "mcp:other"), keep(kept, "mcp:attached/0")
    for number in range(10 * MOST):
        keep(kept, f"mcp:attached/{number}")
    assert kept.find("mcp:other", others.preview_id) == others
    with pytest.raises(RequestError, match=RequestCode.UNKNOWN_PREVIEW):
        kept.find("mcp:attached/0", first.preview_id)
    last = [keep(kept, f"mcp:attached/{number}") for number in range(MOST_NAMES)]
    assert [kept.find(f"mcp:attached/{number}", each.preview_id) for number, each in enumerate(last)] == last


def test_many_previews_drop_only_the_oldest_of_the_same_caller() -> None:
    kept = previews()
    other = keep(kept, "mcp:attached/other")
    mine = [keep(kept, "mcp:attached/mine") for _ in range(MOST + 1)]
    assert kept.spend("mcp:attached/other", other.preview_id) == other
    assert kept.find("mcp:attached/mine", mine[1].preview_id) == mine[1]
    with pytest.raises(RequestError, match=RequestCode.UNKNOWN_PREVIEW):
        kept.find("mcp:attached/mine", mine[0].preview_id)


def test_previews_and_answers_of_all_access_tokens_are_kept() -> None:
    assert CALLERS_KEPT > MOST_TOKENS
    kept, answers = previews(), Answers()
    callers = [f"mcp:token-{number}" for number in range(MOST_TOKENS)]
    made = [keep(kept, who) for who in callers]
    for number, who in enumerate(callers):
        answers.put(RequestKey(who, "k"), OrderRef(number, Purpose.ENTRY))
    assert [kept.find(who, each.preview_id) for who, each in zip(callers, made, strict=True)] == made
    kept_answers = [answers.get(RequestKey(who, "k")) for who in callers]
    assert kept_answers == [OrderRef(number, Purpose.ENTRY) for number in range(MOST_TOKENS)]
