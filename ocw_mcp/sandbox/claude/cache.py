"""The prompt cache: which beginnings of prompts were seen lately, and what of a new prompt they save.

A prompt is tools, system, messages, in that order, and each block's digest stands for everything up to it. A breakpoint
writes the prefix that ends with its block. A later prompt reads the longest prefix that is still there and ends at one
of its own breakpoints, or at most `LOOKED_BACK` blocks before one. To read a prefix renews it.
"""

import hashlib
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.sandbox.claude.request import CacheControl, MessagesRequest, ThinkingBlock

LIVES: Final = {"5m": 5 * MINUTE, "1h": HOUR}
LOOKED_BACK = 20
MOST = 4_096
"""Prefixes that are kept; the oldest goes first."""
CHARS_A_TOKEN = 4
"""Nobody outside knows how the models count; this is the usual rule of thumb."""


def tokens(text: str) -> int:
    """How many tokens a text is taken for."""
    return -(-len(text) // CHARS_A_TOKEN)


class CacheUsage(NamedTuple):
    """The tokens of a prompt, as they are billed."""

    plain: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def prompt(self) -> int:
        """All of them."""
        return sum(self)


class PrefixCache:
    """What is cached; times in ms, from whoever asks."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[int, int]] = {}
        """Until when, and how long anew once it is read."""

    def use(self, request: MessagesRequest, cached_from: int, now: int) -> CacheUsage:
        """What a prompt costs at `now`; from then on its prefixes are there."""
        texts, marks = _prompt(request)
        whole = tuple(accumulate(map(tokens, texts)))
        digests = _digests(request.model, texts)
        self._kept = {digest: kept for digest, kept in self._kept.items() if kept[0] > now}
        worth = {place: ttl for place, ttl in marks.items() if whole[place] >= cached_from}
        near = {place for mark in worth for place in range(max(0, mark - LOOKED_BACK), mark + 1)}
        found = max((place for place in near if digests[place] in self._kept), default=None)
        read = 0
        if found is not None:
            read = whole[found]
            self._keep(digests[found], self._kept[digests[found]][1], now)
        to = {"5m": read, "1h": read}
        for place, ttl in worth.items():
            self._keep(digests[place], LIVES[ttl], now)
            to[ttl] = max(to[ttl], whole[place])
        written_1h = to["1h"] - read
        written_5m = max(0, to["5m"] - to["1h"])
        return CacheUsage(whole[-1] - read - written_1h - written_5m, read, written_5m, written_1h)

    def _keep(self, digest: bytes, life: int, now: int) -> None:
        longer = max(life, self._kept.pop(digest, (0, 0))[1])
        self._kept[digest] = (now + longer, longer)
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]


def _prompt(request: MessagesRequest) -> tuple[list[str], dict[int, str]]:
    """The blocks as texts, and the breakpoints: their place and how long they last."""
    texts: list[str] = []
    marks: dict[int, str] = {}
    for role, block in request.sections():
        told = _bare(block.model_dump(exclude_none=True))
        control = None if isinstance(block, ThinkingBlock) else block.cache_control
        if control is not None:
            marks[len(texts)] = control.ttl
        texts.append(msgspec.json.encode([role, told], order="sorted").decode())
    marks |= _automatic(request.cache_control, len(texts) - 1)
    return texts, marks


def _automatic(control: CacheControl | None, last: int) -> dict[int, str]:
    return {} if control is None else {last: control.ttl}


def _bare(value: Any) -> Any:
    """Without breakpoints, which are no part of what is cached."""
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if key != "cache_control"}
    return value


def _digests(model: str, texts: list[str]) -> list[bytes]:
    so_far = hashlib.sha256(model.encode())
    digests = []
    for text in texts:
        so_far.update(hashlib.sha256(text.encode()).digest())
        digests.append(so_far.digest())
    return digests
