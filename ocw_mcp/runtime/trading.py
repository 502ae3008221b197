"""What whoever is attached does to the running engine: each order of theirs begins here, and goes through the one door.

The engine takes each request between two frames, journals it with the name of who asks, and answers it once per key.
"""

import secrets  # noqa: TID251 - previews need names that nobody had before; none decides anything
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec

from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    ConsentRequest,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
    SubmitRequest,
    Waits,
    submit_key,
)
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.engine.approvals import Waiting
from ocw_mcp.engine.entries import Checked
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.previews import Preview, Previews

Ask = Callable[[CallerRequest], Awaitable[Answer]]

_NO_LEG = Leg("", Action.HOLD)
"""Stands for the leg of a preview where only its name counts."""


class Previewed(msgspec.Struct, frozen=True):
    """An order as it would be answered now; `preview` is there to be placed where only a person could stop it."""

    checked: Checked
    preview: Preview | None

    @property
    def needs_person(self) -> bool:
        """Whether somebody has to approve it."""
        return only_a_person_stops(self.checked)


class PendingApproval(msgspec.Struct, frozen=True):
    """An order that waits for a person, under the id by which it is approved."""

    approval_id: str
    waiting: Waiting


class Trading:
    """One running engine, to be traded with. `who` is the name under which the journal has what somebody asks for."""

    def __init__(self, engine: Engine, ask: Ask, clock: Clock) -> None:
        """`ask` has the engine take a request; `BookRun.ask` is one."""
        self._engine = engine
        self._take = ask
        self._clock = clock
        self._asked_about: set[str] = set()
        self._previews = Previews(clock.wall_ms, lambda: f"p{secrets.token_hex(5)}")

    def preview(self, who: str, leg: Leg, quantity: Decimal | None = None) -> Previewed:
        """Check an order by the code that places it, and keep what was checked for a minute.

        `quantity` (base asset) stands in for an entering leg's share of equity.
        """
        checked = self._engine.check(leg, who, self._clock.now(), quantity)
        passes = checked.refusal is None or only_a_person_stops(checked)
        if not passes or checked.price is None:
            return Previewed(checked, None)
        bound = checked.quantity if leg.action.adds_risk else None
        return Previewed(checked, self._previews.keep(who, leg, bound, checked.price, checked.intent.side))

    def needs_person(self, who: str, key: str, preview_id: str) -> Preview | None:
        """What a person would have to approve if this preview were placed now; None where nobody can or has to."""
        if self._answered(who, key, preview_id) is not None:
            return None
        try:
            found = self._previews.find(who, preview_id)
        except RequestError:
            return None
        checked = self._engine.check(found.leg, who, self._clock.now(), found.quantity)
        return found if only_a_person_stops(checked) else None

    def awaited(self, who: str, key: str, preview_id: str) -> PendingApproval | None:
        """Return what this key has waiting for a person; None where nothing does."""
        answer = self._answered(who, key, preview_id)
        waiting = self._engine.approvals.state.waiting.get(answer.approval_id) if isinstance(answer, Waits) else None
        return PendingApproval(answer.approval_id, waiting) if isinstance(answer, Waits) and waiting else None

    def first_time(self, approval_id: str) -> bool:
        """Whether nobody in front of a client was asked about this order yet in this process; from now on one was."""
        new = approval_id not in self._asked_about
        # No id comes again, so that one that waits no more is not looked for: none pushes another's out.
        waiting = self._engine.approvals.state.waiting
        self._asked_about = {approval_id, *(each for each in self._asked_about if each in waiting)}
        return new

    async def consent(self, who: str, approval_id: str, *, yes: bool) -> None:
        """Take the answer of the person in front of a client. Raises RequestError."""
        await self._ask(ConsentRequest(f"{approval_id} answered", who, approval_id, yes))

    async def place(self, who: str, key: str, preview_id: str, rationale: str) -> Answer:
        """Send what was previewed, if every policy still lets it pass. Raises RequestError."""
        # A key that was used is answered even where its preview is long forgotten: nothing is done again.
        if (again := self._answered(who, key, preview_id)) is not None:
            return again
        found = self._previews.spend(who, preview_id)
        leg = msgspec.structs.replace(found.leg, reasoning=rationale)
        return await self._ask(LegRequest(key, who, leg, found.quantity, found.side, found.quoted, preview_id))

    async def cancel(self, who: str, key: str, ref: OrderRef) -> Answer:
        """Take an entry off. Raises RequestError."""
        return await self._ask(CancelRequest(key, who, ref))

    async def close(self, who: str, key: str, symbol: str, why: str) -> Answer:
        """Close a position at the market. Raises RequestError."""
        return await self._ask(CloseRequest(key, who, symbol, why))

    async def protect(self, who: str, key: str, symbol: str, stop: Decimal | None, target: Decimal | None) -> Answer:
        """Tighten a stop, set a target (quote). Raises RequestError."""
        return await self._ask(ProtectionRequest(key, who, symbol, stop, target))

    async def halt(self, who: str, key: str, why: str) -> Answer:
        """Halt the desk. Raises RequestError."""
        return await self._ask(HaltRequest(key, who, why))

    async def note(self, who: str, key: str, text: str) -> Answer:
        """Write something into the journal. Raises RequestError."""
        return await self._ask(NoteRequest(key, who, text))

    async def submit(self, who: str, wake_id: int, decision: Decision, *, tainted: bool = False) -> Answer:
        """Answer a wake. The same answer to the same wake is taken once. Raises RequestError.

        One that is `tainted` was made after reading what others wrote, and is held to the stricter policies, too.
        """
        return await self._ask(SubmitRequest(submit_key(wake_id, decision), who, wake_id, decision, tainted))

    def answers(self, name: str, decision: Decision) -> list[Answer | None]:
        """What each leg of a decision was answered by now; None where it held."""
        return [self._engine.answer_under(f"{name}:{index}") for index in range(len(decision.legs))]

    def _answered(self, who: str, key: str, preview_id: str) -> Answer | None:
        return self._engine.answer(LegRequest(key, who, _NO_LEG, preview=preview_id))

    async def _ask(self, request: CallerRequest) -> Answer:
        try:
            return await self._take(request)
        except ValueError as error:
            raise RequestError(
                RequestCode.BAD_ARGUMENTS,
                what=str(error).removeprefix("malformed request: "),
                limit="what somebody could mean",
                actual="this",
                next_="see the tool's input schema",
            ) from None
        except BookError:
            raise RequestError(
                RequestCode.ENDED, limit="a running engine", actual="ended", next_="ask again with the same key"
            ) from None


def only_a_person_stops(checked: Checked) -> bool:
    """Whether an order passes everything but for a person's yes."""
    return checked.refusal is not None and checked.refusal.code is RefusalCode.APPROVAL_REQUIRED
