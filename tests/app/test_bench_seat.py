"""`ocw bench seat`: a model is asked about situations within a budget, and its answers are graded."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from ocw_mcp.agent.client import Credentials, ModelFacts, SdkMessages
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.app.bench.seat import ask, submits
from ocw_mcp.app.bench.situations import Situation, load
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import SettingsError
from tests.support.agent import says
from tests.support.claude import KEY, MODEL, served_claude
from tests.support.shell import Ocw

TIGHTEN = load("tighten_after_gain")["tighten_after_gain"]
REFUSED = load("refused_size")["refused_size"]


class Model:
    """A model with the legs, the words or the trouble of each turn."""

    def __init__(self, *turns: Sequence[dict[str, Any]] | str | Trouble) -> None:
        self._turns = turns
        self.requests: list[Request] = []

    async def retrieve_model(self, name: str) -> ModelFacts | Trouble:
        """Know nothing of the model, as many gateways."""
        return Trouble(CauseKind.NO_MODEL)

    async def create(self, request: Request) -> Reply | Trouble:
        """Answer by the number of the turn."""
        self.requests.append(request)
        turn = self._turns[min(request.turn, len(self._turns) - 1)]
        if isinstance(turn, Trouble):
            return turn
        return says(turn) if isinstance(turn, str) else submits(request, {"legs": list(turn)})


def leg(action: str, **terms: Any) -> dict[str, Any]:
    """Return a leg on ETHUSDT."""
    return {"symbol": "ETHUSDT", "action": action, "thesis": "because", **terms}


async def outcome(situation: Situation, model: Model, usd: str = "2") -> tuple[str, str]:
    """Return the outcome of one situation, and the remark on the table."""
    table = await ask([situation], model, MODEL, Decimal(usd))
    return table.rows[0].outcome, table.remark


async def test_models_right_answer_is_graded_as_right() -> None:
    assert await outcome(TIGHTEN, Model([leg("PROTECT", stop=2505)])) == ("right", "")


async def test_models_hold_is_graded() -> None:
    assert await outcome(TIGHTEN, Model("I wait.")) == ("wrong", "")


async def test_corrected_leg_is_graded_instead_of_the_refused_one() -> None:
    model = Model([leg("BUY", size=0.25, stop=2450)], [leg("BUY", size=0.1, stop=2450)])
    assert await outcome(REFUSED, model) == ("right", "")
    assert "POSITION_SHARE" in str(model.requests[1].body["messages"][-1])


async def test_answer_that_stays_refused_is_refused() -> None:
    assert await outcome(REFUSED, Model([leg("BUY", size=0.25, stop=2450)])) == ("refused", "")


async def test_failed_call_is_no_answer() -> None:
    assert await outcome(TIGHTEN, Model(Trouble(CauseKind.BAD_REQUEST, "400"))) == ("no answer", "")


async def test_decision_written_as_text_is_no_answer() -> None:
    written = '{"wake": 4, "legs": [{"symbol": "ETHUSDT", "action": "SELL", "thesis": "out"}]}'
    assert await outcome(TIGHTEN, Model(written)) == ("no answer", "")


async def test_situations_beyond_the_budget_are_not_run() -> None:
    model = Model([leg("PROTECT", stop=2505)])
    found, remark = await outcome(TIGHTEN, model, usd="0.01")
    assert (found, model.requests) == ("not run", [])
    assert "BUDGET" in remark


async def test_rejected_key_leaves_all_situations_not_run() -> None:
    model = Model(Trouble(CauseKind.BAD_KEY, "401"))
    table = await ask([TIGHTEN, REFUSED], model, MODEL, Decimal(2))
    assert ({row.outcome for row in table.rows}, len(model.requests)) == ({"not run"}, 1)
    assert "BAD_KEY" in table.remark


async def test_rows_show_what_each_answer_cost() -> None:
    table = await ask([TIGHTEN, REFUSED], Model("I wait."), MODEL, Decimal(2))
    assert all(row.usd > 0 and row.calls for row in table.rows)


async def test_model_without_a_price_is_not_asked() -> None:
    with pytest.raises(SettingsError, match="the price of nobodys-model is not known"):
        await ask([TIGHTEN], Model("Hold."), "nobodys-model", Decimal(2))


async def test_answers_of_the_sandbox_are_never_a_models_outcome() -> None:
    async with served_claude("trader") as url:
        api = SdkMessages(Credentials(url, SecretStr(KEY)))
        try:
            table = await ask([TIGHTEN], api, MODEL, Decimal(2))
        finally:
            await api.close()
    assert [row.outcome for row in table.rows] == ["sandbox"]
    assert "no model" in table.remark


def test_without_a_key_every_situation_reads_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    found = Ocw(monkeypatch, capsys)("bench", "seat", "--case", "spot*", "--json")
    table = json.loads(found.out)
    assert {row["outcome"] for row in table["rows"]} == {"not run"}
    assert "NO_KEY" in table["remark"]
