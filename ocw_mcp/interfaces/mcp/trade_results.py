"""The results of the tools that act: previews, and the outcome of a request or of a decision."""

from pydantic import BaseModel

from ocw_mcp.interfaces.mcp.results import Cents, Price, Quantity, Result, Share, Time


class PreviewResult(Result):
    """The preview of an order. `scale` multiplies the size limits; terms that the order lacks are null."""

    preview_id: str | None
    good_for_s: int
    needs_approval: bool
    refusal: str | None
    symbol: str
    action: str
    side: str | None
    asked: str
    """The size as requested: `size 0.1` or `quantity 2`, or `the whole position` of a closing."""
    size: Share | None
    """The notional as a share of equity."""
    quantity: Quantity
    price: Price | None
    notional: Cents | None
    largest: str | None
    type: str | None = None
    limit: Price | None = None
    stop: Price | None = None
    stop_distance: str | None = None
    """From the expected fill, in percent of it."""
    risk: str | None = None
    """The loss of the whole position at the stop, from the worst fill, in percent of equity."""
    target: Price | None = None
    leverage: str | None = None
    scale: Quantity | None = None
    scale_reason: str | None = None
    expires_at: Time | None = None
    """When a limit order that has not filled is cancelled."""


class Answered(BaseModel):
    outcome: str
    order: str | None
    refusal: str | None
    largest: str | None
    approval: str | None
    until: Time | None


class DoneResult(Result, Answered):
    """The outcome of a request."""


class LegAnswered(Answered):
    symbol: str
    action: str


class SubmittedResult(Result):
    wake: int
    legs: list[LegAnswered]
    not_taken: list[str]
