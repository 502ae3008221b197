"""Prompts that a person calls by name. Their texts come from `prompts/desktop/`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from mcp.types import Prompt as Offered

from ocw_mcp.render.quotations import untrusted

LONGEST_ARGUMENT = 60
_PROMPTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "morning_review": ("The account at the start of a day: state, risk, changes, unknowns.", {}),
    "pre_trade_checklist": (
        "Checks before an order, ending with the largest size that the policies would pass.",
        {"symbol": "such as BTCUSDT", "action": "buying or shorting"},
    ),
    "explain_last_decision": ("The newest decision that traded, from its wake to its present result.", {}),
    "post_mortem": (
        "A closed trade: decision, luck, costs, and what to do differently.",
        {"trade": "id from trades_search, such as order:3"},
    ),
    "review_positions": ("Every open position: keep, tighten, reduce or close, and all of them together.", {}),
}
"""By name, what a prompt is about, and its arguments with their descriptions."""
_DEFAULTS: Final = {"action": "buying"}


def add_prompts(server: MCPServer[Any], texts: Mapping[str, str]) -> None:
    """Add the prompts to the server; `texts` are keyed by prompt name."""

    async def filled(prompt: str, **given: str) -> str:
        text = texts[prompt]
        for argument, value in (_DEFAULTS | given).items():
            text = text.replace(f"{{{argument}}}", untrusted(value, LONGEST_ARGUMENT))
        return text

    for name, (about, descriptions) in _PROMPTS.items():
        arguments = [
            PromptArgument(name=each, description=text, required=each not in _DEFAULTS)
            for each, text in descriptions.items()
        ]
        server.add_prompt(Prompt(name=name, description=about, arguments=arguments, fn=partial(filled, name)))


def require_arguments(offered: Iterable[Offered], name: str, given: Mapping[str, str] | None) -> None:
    """Check a prompt call. Raises MCPError that names an unknown prompt or argument, or a missing argument."""
    known = {each.name: each for each in offered}
    prompt = known.get(name)
    if prompt is None:
        raise _invalid(f"UNKNOWN_PROMPT: no prompt has that name. limit={','.join(known)} actual={name[:40]!r}")
    arguments = {each.name: each for each in prompt.arguments or ()}
    named = given or {}
    for each in named:
        if each not in arguments:
            limit = ",".join(arguments) or "no argument"
            raise _invalid(f"BAD_ARGUMENTS: {name} has no argument {each[:40]!r}. limit={limit} actual={each[:40]!r}")
    for each, argument in arguments.items():
        if argument.required and not named.get(each, "").strip():
            actual = "an empty text" if each in named else "nothing"
            raise _invalid(
                f"BAD_ARGUMENTS: {name} needs its argument {each}. limit={argument.description} actual={actual}"
            )


async def require_texts(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: require that a prompt's name and arguments are texts, and drop arguments that are null."""
    if ctx.method != "prompts/get":
        return await call_next(ctx)
    params = ctx.params or {}
    name, given = params.get("name"), params.get("arguments")
    if not isinstance(name, str):
        actual = "nothing" if name is None else type(name).__name__
        raise _invalid(f"BAD_ARGUMENTS: prompts/get needs the name of a prompt. limit=name, a text actual={actual}")
    if given is None:
        return await call_next(ctx)
    if not isinstance(given, dict):
        actual = type(given).__name__
        raise _invalid(f"BAD_ARGUMENTS: arguments of {name[:40]} are not an object. limit=an object actual={actual}")
    given_texts = {name: value for name, value in given.items() if value is not None}
    wrong = next((name for name, value in given_texts.items() if not isinstance(value, str)), None)
    if wrong is not None:
        actual = type(given_texts[wrong]).__name__
        raise _invalid(f"BAD_ARGUMENTS: the argument {wrong[:40]} is not a text. limit=a text actual={actual}")
    return await call_next(replace(ctx, params={**params, "arguments": given_texts}))


def _invalid(text: str) -> MCPError:
    return MCPError(INVALID_PARAMS, f"{text} next: see prompts/list")
