"""Asks the person at a client to approve an order, and interprets the answer.

Only a filled-in form counts as an answer. Clients without a person decline or cancel at once, or never answer, so after
a decline, a cancel or silence the order keeps waiting for `ocw approve`.
"""

import asyncio
from typing import Any, Final

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import ClientCapabilities
from pydantic import BaseModel, Field, ValidationError

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.state import Mode

ERA: Final = "2026-07-28"
"""The first protocol version in which a call returns a question, and is repeated with the answer."""
ASK_S: Final = 45.0
"""How long a call waits for the person in older protocol versions, which keep it open; clients give up after 60 s."""


class Consent(BaseModel):
    """A person's answer."""

    approve: bool = Field(description="Let this order be placed", strict=True)


class NotAsked(BaseModel):
    """The person was not asked or gave no answer: nothing changes for the order."""


def supports_forms(capabilities: ClientCapabilities | None) -> bool:
    """Return whether a client declares that it can show a form."""
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def can_ask(context: Context[Any, Any], mode: Mode) -> bool:
    """Return whether the person at the client can be asked, and may approve in this mode."""
    return mode is Mode.PAPER and supports_forms(context.client_capabilities)


async def ask_within_call(context: Context[Any, Any], question: str) -> Consent | NotAsked:
    """Ask within the call, for clients of older protocol versions. Raises RequestError for an unusable answer."""
    try:
        async with asyncio.timeout(ASK_S):
            answer = await context.elicit(question, Consent)
    except (TimeoutError, MCPError):
        return NotAsked()
    except (ValueError, ValidationError):
        raise unusable_answer() from None
    return answer.data if answer.action == "accept" else NotAsked()


def unusable_answer() -> RequestError:
    """Return the error for a form that is neither a yes nor a no."""
    return RequestError(
        RequestCode.BAD_ARGUMENTS,
        what="the answer of the client to the question is neither yes nor no",
        limit="the requested form",
        actual="something else",
        next_="the order waits for ocw approve; call orders_place with the same key to see the outcome",
    )
