"""Asking the person in front of a client about an order, and what their answer means.

Only a filled form is a person's answer. Programs that nobody sits at decline or cancel at once, or never answer, so a
decline, a cancel and silence leave the order as it is with any other client: waiting for `ocw approve`.
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
"""The first era in which a call ends with a question, and comes again with its answer."""
ASK_S: Final = 45.0
"""How long a call waits for the person, where the client's era keeps the call open; clients give up after a minute."""


class Consent(BaseModel):
    """A person's answer."""

    approve: bool = Field(description="Let this order be placed", strict=True)


class NotAsked(BaseModel):
    """The person was not asked, or gave no answer: the order stands as it does without them."""


def asks_in_forms(capabilities: ClientCapabilities | None) -> bool:
    """Whether a client says that it can show its person a form."""
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def can_ask(context: Context[Any, Any], mode: Mode) -> bool:
    """Whether the person in front of the client can be asked, and their word is enough."""
    return mode is Mode.PAPER and asks_in_forms(context.client_capabilities)


async def ask_now(context: Context[Any, Any], question: str) -> Consent | NotAsked:
    """Ask within the call, as clients of the older era are asked. Raises RequestError for a form that is no answer."""
    try:
        async with asyncio.timeout(ASK_S):
            said = await context.elicit(question, Consent)
    except (TimeoutError, MCPError):
        return NotAsked()
    except (ValueError, ValidationError):
        raise no_answer() from None
    return said.data if said.action == "accept" else NotAsked()


def no_answer() -> RequestError:
    """The error of a form that says neither yes nor no."""
    return RequestError(
        RequestCode.BAD_ARGUMENTS,
        what="the answer of the client to the question is neither yes nor no",
        limit="the requested form",
        actual="something else",
        next_="the order waits for ocw approve; call orders_place with the same key to see the outcome",
    )
