"""Reads what went wrong from the words of an error, as gateways put them into a 200 or under another status."""

import json
import re
from typing import Any, Final

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.domain.causes import CauseKind

_BY_WORDS: Final = (
    (
        CauseKind.NO_CREDIT,
        r"credit balance|insufficient[_ ](?:quota|credit|fund|balance)|current quota|payment[_ ]required|"
        r"billing[_ ]error|balance[^.]{0,20}(?:insufficient|not enough|too low)|"
        r"(?:not enough|out of|no) (?:credit|fund|balance)|\b402\b",
    ),
    (CauseKind.OVERLOADED, r"overloaded|over capacity|at capacity|unavailable|\b529\b|\b503\b"),
    (
        CauseKind.RATE_LIMITED,
        r"rate[_ -]?(?:limit|exceed)|too many (?:requests|tokens)|throttl|resource[_ ]exhausted|\b429\b",
    ),
    (CauseKind.BAD_KEY, r"authenticat|access[_ ]?denied|unauthori[sz]ed|permission|api[_ -]?key|\b401\b|\b403\b"),
    (CauseKind.NO_MODEL, r"not_found|model[_ ]not[_ ]found|no such model|\b404\b"),
    (CauseKind.TIMEOUT, r"timed? ?out|\b504\b"),
    (CauseKind.BAD_REQUEST, r"invalid_request|bad request|too long|\b400\b"),
    (CauseKind.SERVER, r"api_error|server_error|internal|bad gateway|\b50[02]\b"),
)
_IN_A_STREAM: Final = re.compile(rb"^data: *(\{.*\}) *$", re.MULTILINE)
_KINDS: Final = ("__type", "type", "code", "status")
_MESSAGES: Final = ("message", "Message", "msg", "detail", "error_message")
_WORKED: Final = frozenset({CauseKind.SERVER, CauseKind.TIMEOUT, CauseKind.MALFORMED})
"""Causes with which the model may have worked before the error, where the answer was a 200."""


def by_words(words: str) -> CauseKind | None:
    """Return the cause that an error's kind and message name; None where they name none."""
    lower = words.lower()
    return next((cause for cause, pattern in _BY_WORDS if re.search(pattern, lower)), None)


def fault(whole: object, *, message_due: bool = True) -> Trouble | None:
    """Return the error that stands in a body in place of a message; None where none does.

    `message_due` is whether the body has no content of a message: then a bare text on what happened is an error, too,
    in whatever form the provider behind a gateway has it.
    """
    if isinstance(whole, list):
        whole = whole[0] if len(whole) == 1 else None
    if isinstance(whole, str) and message_due:
        whole = {"error": whole}
    if not isinstance(whole, dict):
        return None
    error = whole.get("error")
    if not error and whole.get("type") == "error":
        error = whole
    if not error and message_due:
        error = _of_another_form(whole)
    if not error:
        return None
    told: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    kind = " ".join(str(told[name]) for name in _KINDS if told.get(name) is not None)
    message = str(next((told[name] for name in _MESSAGES if told.get(name)), "") or kind or "no word on why")
    cause = by_words(f"{kind} {message}") or CauseKind.MALFORMED
    return Trouble(cause, f"200 {message}", may_be_billed=cause in _WORKED)


def _of_another_form(whole: dict[str, Any]) -> object:
    """Return what tells of an error in a body without content: that of Bedrock, of a list of answers, of a proxy."""
    for name in ("errors", "choices"):
        first = next(iter(whole[name]), None) if isinstance(whole.get(name), list) else None
        if first and (name == "errors" or isinstance(first, dict)):
            return first if name == "errors" else first.get("error")
    if isinstance(whole.get("Output"), dict):
        return whole["Output"]
    return whole if any(whole.get(name) for name in (*_MESSAGES, "__type")) else None


def streamed_fault(body: bytes) -> Trouble | None:
    """Return the error of a body of server-sent events, which nothing asked for."""
    for line in _IN_A_STREAM.findall(body):
        try:
            found = fault(json.loads(line))
        except (ValueError, RecursionError):
            continue
        if found is not None:
            return found
    return None
