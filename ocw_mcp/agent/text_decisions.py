"""Detects a decision that a model wrote as text instead of a tool call, so that the engine did not receive it."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

MOST_BRACES: Final = 40
"""Largest number of braces and brackets in a text that are tried as the start of a JSON value."""

_ACTIONS: Final = ("BUY", "SELL", "SHORT", "COVER", "ADD", "REDUCE", "PROTECT", "CANCEL")
_VERB: Final = (
    r"(?:buy(?:ing)?|sell(?:ing)?|short(?:ing)?|cover(?:ing)?|add(?:ing)?|clos(?:e|ing)|open(?:ing)?|enter(?:ing)?|"
    r"exit(?:ing)?|reduc(?:e|ing)|trim(?:ming)?|cancel(?:l?ing)?|go(?:ing)? (?:long|short))"
)
_SYMBOL: Final = (
    r"(?:[a-z0-9]{2,12}[/_-]?(?:usdt|usdc|usd|busd)\b|(?:btc|eth|sol|bnb|xrp|bitcoin|ether(?:eum)?|solana)\b)"
)
_BETWEEN: Final = (
    r"(?:(?:of|the|a|an|my|our|this|all|half|some|more|into|in|to|on|now|long|short|position|percent|equity|"
    r"\$?[\d.,]+[%x]?)[\s:*`\"']+){0,6}"
)
_ORDER: Final = re.compile(rf"\b{_VERB}\b[\s:*`\"'\[(]*{_BETWEEN}{_SYMBOL}", re.IGNORECASE)
_TARGETED: Final = re.compile(
    rf"(?i:{_SYMBOL})(?:[\s:=*`\"'>|-]*(?:{'|'.join(_ACTIONS)})|\s*[:=|][\s*`\"']*(?i:{'|'.join(_ACTIONS)}))\b"
)
_SIDE: Final = re.compile(rf"^[\s*#>\"'-]*(?:long|short)\s+{_SYMBOL}\s*(?:[,:@(]|at\b|with\b|$)", re.IGNORECASE)
_NAMED: Final = re.compile(
    rf"\b(?:LONG|SHORT)\s+(?i:{_SYMBOL})(?:\s*[,:@(]|\s+(?:at|with|stop)\b|\s+[\d.]+\s*[%x]|\s*$)"
)
_PLACED: Final = re.compile(
    rf"\b(?:plac|submit|execut|send)\w*\b.{{0,24}}\b(?:buy|sell|short)\b[\s\w]{{0,24}}\b(?:of|for|on)\s+{_SYMBOL}",
    re.IGNORECASE,
)
_STOP: Final = re.compile(
    rf"\b(?:rais(?:e|ing)|mov(?:e|ing)|tighten(?:ing)?|trail(?:ing)?|lower(?:ing)?|set(?:ting)?|put(?:ting)?)\s+"
    rf"(?:the |its |my |our )?(?:stop(?:-loss)?|target|protection)\b.{{0,40}}(?:{_SYMBOL}|\bto\s+\$?\d)",
    re.IGNORECASE,
)
_PROTECTED: Final = re.compile(rf"\bPROTECT\s+(?i:{_SYMBOL})")
_FORMS: Final = (_ORDER, _TARGETED, _SIDE, _NAMED, _PLACED, _STOP, _PROTECTED)
"""Patterns of a clause that asks for a trade."""
_FIELD: Final = re.compile(rf"\b(?:action|side)\b[\s:=*`\"']{{1,8}}(?:{'|'.join(_ACTIONS)})\b", re.IGNORECASE)
_CLAIM: Final = re.compile(
    r"\b(?:i|i've|we|we've)\s+(?:have\s+|just\s+|already\s+|now\s+|then\s+)*"
    r"(?:submitted|placed|executed|sent|bought|sold|shorted|opened|closed|covered|added|entered|exited|reduced|protected|cancell?ed)\b"
    r"|\b(?:decision|order|trade)s?\s+(?:is|are|was|were|has been|have been)\s+"
    r"(?:submitted|placed|executed|sent|filled)\b",
    re.IGNORECASE,
)
_DENIAL: Final = r"not|no|never|nothing|none|without|don't|didn't|won't|wouldn't|cannot|can't|neither|nor"
_DENIED: Final = re.compile(rf"\b(?:{_DENIAL})\b", re.IGNORECASE)
_DOUBTED: Final = re.compile(
    rf"\b(?:{_DENIAL}|if|unless|until|would|could|might|wait|waiting|before|once|when)\b", re.IGNORECASE
)
"""Words of denial or doubt: their sentence is no decision."""
_ASIDE: Final = re.compile(
    r"\b(?:instead|rather|hold|holding|why|reason|signals?|rules|was|were|yesterday|earlier|previous|previously|last)\b",
    re.IGNORECASE,
)
"""Words of a remark or of the past: their clause is no decision; other clauses of the sentence may be one."""
_OPENS: Final = re.compile(r"[\[{]")
_CLAUSE: Final = re.compile(r",\s|\s(?:because|since)\s", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"[.;!?]\s+|[\r\n]+")


def contains_decision(text: str) -> bool:
    """Return whether a text asks for a trade, as JSON or in a sentence, or claims that one was sent.

    A sentence that denies, doubts or describes the past is no decision.
    """
    if any(map(_asks_in_json, _json_values(text))):
        return True
    for sentence in _SENTENCE.split(text):
        if _FIELD.search(sentence) or (_CLAIM.search(sentence) and not _DENIED.search(sentence)):
            return True
        clauses = () if _DOUBTED.search(sentence) else _CLAUSE.split(sentence)
        if any(any(form.search(clause) for form in _FORMS) and not _ASIDE.search(clause) for clause in clauses):
            return True
    return False


def _json_values(text: str) -> Iterator[Any]:
    """Yield the JSON objects and lists of a text."""
    decoder, place = json.JSONDecoder(), 0
    for _ in range(MOST_BRACES):
        if (found := _OPENS.search(text, place)) is None:
            return
        place = found.end()
        with suppress(ValueError, RecursionError):
            value, place = decoder.raw_decode(text, found.start())
            yield value


def _asks_in_json(value: Any, depth: int = 0) -> bool:
    """Return whether a JSON value has a leg that asks for a trade, at most four levels deep."""
    if depth > 4:
        return False
    if isinstance(value, list):
        return any(_asks_in_json(each, depth + 1) for each in value)
    if not isinstance(value, dict):
        return False
    words = (str(value.get(name, "")).strip().upper() for name in ("action", "side", "decision", "type"))
    asks = any(each in (*_ACTIONS, "LONG", "CLOSE") for each in words)
    return asks or any(_asks_in_json(each, depth + 1) for each in value.values())
