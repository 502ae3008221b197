"""Finds a decision that a model wrote as text instead of calling the tool: then nothing was sent, and that is said."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

MOST_TRIED: Final = 40
"""Braces of one text at which a JSON value is looked for."""

_ACTS: Final = ("BUY", "SELL", "SHORT", "COVER", "ADD")
_VERB: Final = (
    r"(?:buy(?:ing)?|sell(?:ing)?|short(?:ing)?|cover(?:ing)?|add(?:ing)?|clos(?:e|ing)|open(?:ing)?|enter(?:ing)?|"
    r"exit(?:ing)?|reduc(?:e|ing)|trim(?:ming)?|go(?:ing)? (?:long|short))"
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
    rf"(?i:{_SYMBOL})(?:[\s:=*`\"'>|-]*(?:{'|'.join(_ACTS)})|\s*[:=|][\s*`\"']*(?i:{'|'.join(_ACTS)}))\b"
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
_FIELD: Final = re.compile(rf"\b(?:action|side)\b[\s:=*`\"']{{1,8}}(?:{'|'.join(_ACTS)})\b", re.IGNORECASE)
_CLAIM: Final = re.compile(
    r"\b(?:i|i've|we|we've)\s+(?:have\s+|just\s+|already\s+|now\s+|then\s+)*"
    r"(?:submitted|placed|executed|sent|bought|sold|shorted|opened|closed|covered|added|entered|exited)\b"
    r"|\b(?:decision|order|trade)s?\s+(?:is|are|was|were|has been|have been)\s+"
    r"(?:submitted|placed|executed|sent|filled)\b",
    re.IGNORECASE,
)
_DENIAL: Final = r"not|no|never|nothing|none|without|don't|didn't|won't|wouldn't|cannot|can't|neither|nor"
_DENIED: Final = re.compile(rf"\b(?:{_DENIAL})\b", re.IGNORECASE)
_DOUBTED: Final = re.compile(
    rf"\b(?:{_DENIAL}|if|unless|until|would|could|might|wait|waiting|before|once|when)\b", re.IGNORECASE
)
"""In a whole sentence."""
_ASIDE: Final = re.compile(
    r"\b(?:instead|rather|hold|holding|why|reason|signals?|rules|was|were|yesterday|earlier|previous|previously|last)\b",
    re.IGNORECASE,
)
"""In one clause: what is said beside it does not take a decision back."""
_OPENS: Final = re.compile(r"[\[{]")
_CLAUSE: Final = re.compile(r",\s|\s(?:because|since)\s", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"[.;!?]\s+|[\r\n]+")


def unsent(text: str) -> bool:
    """Return whether a text decides on a trade, as JSON or in a sentence, or says that one was sent.

    A sentence that denies, doubts or looks back is no decision.
    """
    if any(map(_decides, _values(text))):
        return True
    for each in _SENTENCE.split(text):
        if _FIELD.search(each) or (_CLAIM.search(each) and not _DENIED.search(each)):
            return True
        if not _DOUBTED.search(each) and any(map(_asks, _CLAUSE.split(each))):
            return True
    return False


def _asks(clause: str) -> bool:
    """Return whether a clause names what is to be done, and does not look back or aside."""
    forms = (_ORDER, _TARGETED, _SIDE, _NAMED, _PLACED, _STOP)
    return any(form.search(clause) for form in forms) and not _ASIDE.search(clause)


def _values(text: str) -> Iterator[Any]:
    """Yield the JSON values that begin at braces of a text."""
    decoder, place = json.JSONDecoder(), 0
    for _ in range(MOST_TRIED):
        found = _OPENS.search(text, place)
        if found is None:
            return
        place = found.end()
        try:
            value, place = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        yield value


def _decides(value: Any, depth: int = 0) -> bool:
    """Return whether a JSON value has a leg in it that asks for something."""
    if depth > 4:
        return False
    if isinstance(value, list):
        return any(_decides(each, depth + 1) for each in value)
    if not isinstance(value, dict):
        return False
    asked = (str(value.get(name, "")).strip().upper() for name in ("action", "side", "decision", "type"))
    decides = any(each in (*_ACTS, "LONG", "CLOSE") for each in asked)
    return decides or any(_decides(each, depth + 1) for each in value.values())
