"""How an attached client acts on the running engine: previews of orders, and requests.

The engine takes each request between two frames, journals it with the caller's name, and answers it once per key.
"""

import secrets  # noqa: TID251 - previews need new ids; no decision depends on one
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.asks import (
    PREVIEW_GOOD_FOR_S,
    AnswerKey,
    AwaitsApproval,
    CallerRequest,
    ConsentRequest,
    DecisionKey,
    LegRequest,
    SubmitRequest,
    Taken,
    submit_key,
    token_of,
)
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.engine.approvals import PendingOrder
from ocw_mcp.engine.idempotency import CALLERS_KEPT, Answer, drop_oldest
from ocw_mcp.engine.precheck import CheckedLeg
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.validation import MalformedError

Ask = Callable[[CallerRequest], Awaitable[Answer]]

MOST: Final = 32
"""The largest number of previews that are kept for one caller."""
MOST_NAMES: Final = 8
"""The largest number of client names of one access token whose previews are kept."""

_NO_LEG = Leg("", Action.HOLD)
"""A placeholder for the leg of a request that is identified by its preview."""


class Preview(msgspec.Struct, frozen=True):
    """One entry or exit as it was checked. Quantity in the base asset, prices in quote currency."""

    preview_id: str
    leg: Leg
    quantity: Decimal | None
    """The quantity of the entry; None for an exit."""
    quoted: Decimal
    """The mark price at the check."""
    side: Side
    made_at: float
    """The real time (ms) of the check."""


class Previewed(msgspec.Struct, frozen=True):
    """The answer that an order would get now, and its preview if it passes or only needs approval."""

    checked: CheckedLeg
    preview: Preview | None


class Previews:
    """The newest previews of each caller, in this process. A client whose preview was dropped requests a new one."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        """`new_id` returns an id that was never used before."""
        self._clock = clock
        self._new_id = new_id
        self._kept: dict[str, dict[str, dict[str, Preview]]] = {}
        """The previews by token, by caller and by id. At each level the oldest ones are dropped."""

    def keep(self, caller: str, leg: Leg, quantity: Decimal | None, quoted: Decimal, side: Side) -> Preview:
        """Keep a preview, and drop the oldest ones if there are too many."""
        made = Preview(self._new_id(), leg, quantity, quoted, side, self._clock.wall_ms())
        token = token_of(caller)
        callers = self._kept[token] = self._kept.pop(token, {})
        own = callers[caller] = callers.pop(caller, {})
        own[made.preview_id] = made
        drop_oldest(own, MOST)
        drop_oldest(callers, MOST_NAMES)
        drop_oldest(self._kept, CALLERS_KEPT)
        return made

    def spend(self, caller: str, preview_id: str) -> Preview:
        """Return a preview and drop it, so that it places one order only. Raises RequestError."""
        found = self.find(caller, preview_id)
        del self._kept[token_of(caller)][caller][preview_id]
        return found

    def find(self, caller: str, preview_id: str) -> Preview:
        """Return a preview of this caller while it is valid. Raises RequestError."""
        again = "preview the order again with orders_preview"
        found = self._kept.get(token_of(caller), {}).get(caller, {}).get(preview_id)
        if found is None:
            limit, actual = "a preview_id that orders_preview gave this caller", repr(preview_id[:40])
            raise RequestError(RequestCode.UNKNOWN_PREVIEW, limit=limit, actual=actual, next_=again)
        age_s = (self._clock.wall_ms() - found.made_at) / 1_000
        if age_s > PREVIEW_GOOD_FOR_S:
            limit, actual = f"{PREVIEW_GOOD_FOR_S}s", f"{age_s:.0f}s"
            raise RequestError(RequestCode.STALE_PREVIEW, limit=limit, actual=actual, next_=again)
        return found


class Trading:
    """The actions of clients on one running engine. `caller` is the client's name in the journal."""

    def __init__(self, engine: Engine, take: Ask, clock: Clock) -> None:
        """`take` passes a request to the engine and returns the answer, as `Shell.ask` does."""
        self._engine = engine
        self._take = take
        self._clock = clock
        self._asked_about: set[str] = set()
        self._previews = Previews(clock, lambda: f"p{secrets.token_hex(5)}")

    def preview(self, caller: str, leg: Leg, quantity: Decimal | None = None) -> Previewed:
        """Check an order, and keep its preview for a minute. `quantity` (base asset) replaces the size of the leg."""
        checked = self._engine.check(leg, caller, self._clock.now(), quantity)
        passes = checked.refusal is None or checked.needs_approval
        if not passes or checked.price is None:
            return Previewed(checked, None)
        bound = checked.quantity if leg.action.adds_risk else None
        return Previewed(checked, self._previews.keep(caller, leg, bound, checked.price, checked.intent.side))

    async def place(self, caller: str, key: str, preview_id: str, rationale: str) -> Answer:
        """Send a previewed order, if every policy still lets it pass. Raises RequestError."""
        # A key that was used before gets its answer again, even after its preview has expired: no order is repeated.
        if (known := self._answered(caller, key, preview_id)) is not None:
            return known
        found = self._previews.spend(caller, preview_id)
        leg = msgspec.structs.replace(found.leg, reasoning=rationale)
        return await self.ask(LegRequest(key, caller, leg, found.quantity, found.side, found.quoted, preview_id))

    def needs_approval(self, caller: str, key: str, preview_id: str) -> bool:
        """Return whether a preview, if it were placed now, would only need the approval of a person."""
        if self._answered(caller, key, preview_id) is not None:
            return False
        try:
            found = self._previews.find(caller, preview_id)
        except RequestError:
            return False
        return self._engine.check(found.leg, caller, self._clock.now(), found.quantity).needs_approval

    def pending(self, caller: str, key: str, preview_id: str) -> PendingOrder | None:
        """Return the pending order that was placed with this key; None if there is none."""
        answer = self._answered(caller, key, preview_id)
        pending = self._engine.approvals.state().pending
        return pending.get(answer.approval_id) if isinstance(answer, AwaitsApproval) else None

    def first_time(self, approval_id: str) -> bool:
        """Return True at the first call for an approval id in this process, False later."""
        new = approval_id not in self._asked_about
        # An id is never used again, so that those of orders that are not pending can be dropped.
        pending = self._engine.approvals.state().pending
        self._asked_about = {approval_id, *(each for each in self._asked_about if each in pending)}
        return new

    async def consent(self, caller: str, approval_id: str, *, yes: bool) -> None:
        """Approve (`yes`) or deny a pending order, as the client's user has answered. Raises RequestError."""
        await self.ask(ConsentRequest(f"{approval_id} answered", caller, approval_id, yes))

    async def submit(self, caller: str, wake_id: int, decision: Decision, *, tainted: bool = False) -> Answer:
        """Submit a decision. `tainted` means that the caller has read texts of other authors. Raises RequestError."""
        return await self.ask(SubmitRequest(submit_key(wake_id, decision), caller, wake_id, decision, tainted))

    def answers(self, key: DecisionKey, decision: Decision) -> list[Answer | None]:
        """Return the stored answer to each leg of a decision; None for a leg without an answer, such as a HOLD."""
        return [self._engine.executor.answers.get(key.leg(index)) for index in range(len(decision.legs))]

    def taken(self, key: AnswerKey) -> Taken | None:
        """Return the leg of a key as it was carried out; None for a refused leg and for a request without a leg."""
        return self._engine.executor.answers.taken(key)

    async def ask(self, request: CallerRequest) -> Answer:
        """Pass a request to the engine, and return the answer. Raises RequestError."""
        try:
            return await self._take(request)
        except MalformedError as error:
            limit, next_ = "a request within the bounds of its schema", "see the tool's input schema"
            raise RequestError(
                RequestCode.BAD_ARGUMENTS, what=error.defect, limit=limit, actual="another", next_=next_
            ) from None
        except BookError:
            raise RequestError(
                RequestCode.ENDED, limit="a running engine", actual="ended", next_="ask again with the same key"
            ) from None

    def _answered(self, caller: str, key: str, preview_id: str) -> Answer | None:
        return self._engine.answer(LegRequest(key, caller, _NO_LEG, preview=preview_id))
