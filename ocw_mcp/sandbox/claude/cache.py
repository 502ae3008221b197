"""The prompt cache: stores the prefixes of prompts, and counts how many tokens of a new prompt are read from them.

A prompt is tools, system and messages, in that order; the digest of a block covers everything up to it. A breakpoint
writes the prefix that ends with its block. A later prompt reads the longest cached prefix that ends at one of its own
breakpoints, or at most `LOOKBACK` blocks before one. Reading a prefix renews its lifetime.
"""

import hashlib
from itertools import accumulate

import msgspec

from ocw_mcp.agent.messages import without_cache_control
from ocw_mcp.agent.pricing import LIFETIME_MS, TokenUsage, Ttl
from ocw_mcp.sandbox.claude.request import MessagesRequest, ThinkingBlock

LOOKBACK = 20
MOST_PREFIXES = 4_096
"""The most cached prefixes; the oldest is dropped first."""
CHARS_A_TOKEN = 4
"""A rule of thumb: how the models count tokens is not published."""


def tokens(text: str) -> int:
    """Return the estimated tokens of a text."""
    return -(-len(text) // CHARS_A_TOKEN)


class PrefixCache:
    """The cached prefixes; times in ms, given by the caller."""

    def __init__(self) -> None:
        self._prefixes: dict[bytes, tuple[int, int]] = {}
        """By digest: the time of expiry, and the lifetime after a read."""

    def use(self, request: MessagesRequest, cached_from: int, now: int) -> TokenUsage:
        """Return the billed tokens of a prompt at `now`, and cache its prefixes of at least `cached_from` tokens."""
        texts, breakpoints = _prompt(request)
        sizes = tuple(accumulate(map(tokens, texts)))
        so_far, digests = hashlib.sha256(request.model.encode()), list[bytes]()
        for text in texts:
            so_far.update(hashlib.sha256(text.encode()).digest())
            digests.append(so_far.digest())
        self._prefixes = {digest: prefix for digest, prefix in self._prefixes.items() if prefix[0] > now}
        cached = {place: ttl for place, ttl in breakpoints.items() if sizes[place] >= cached_from}
        near = {place for mark in cached for place in range(max(0, mark - LOOKBACK), mark + 1)}
        found = max((place for place in near if digests[place] in self._prefixes), default=None)
        read = 0
        if found is not None:
            read = sizes[found]
            self._store(digests[found], self._prefixes[digests[found]][1], now)
        upto: dict[Ttl, int] = {"5m": read, "1h": read}
        for place, ttl in cached.items():
            self._store(digests[place], LIFETIME_MS[ttl], now)
            upto[ttl] = max(upto[ttl], sizes[place])
        written_1h = upto["1h"] - read
        written_5m = max(0, upto["5m"] - upto["1h"])
        return TokenUsage(sizes[-1] - read - written_1h - written_5m, read, written_5m, written_1h)

    def _store(self, digest: bytes, lifetime: int, now: int) -> None:
        longer = max(lifetime, self._prefixes.pop(digest, (0, 0))[1])
        self._prefixes[digest] = (now + longer, longer)
        while len(self._prefixes) > MOST_PREFIXES:
            del self._prefixes[next(iter(self._prefixes))]


def _prompt(request: MessagesRequest) -> tuple[list[str], dict[int, Ttl]]:
    """Return the blocks as texts, and the breakpoints: their places and lifetimes."""
    texts: list[str] = []
    breakpoints: dict[int, Ttl] = {}
    for role, block in request.sections():
        control = None if isinstance(block, ThinkingBlock) else block.cache_control
        if control is not None:
            breakpoints[len(texts)] = control.ttl
        bare = without_cache_control(block.model_dump(exclude_none=True))
        texts.append(msgspec.json.encode([role, bare], order="sorted").decode())
    if request.cache_control is not None:
        breakpoints[len(texts) - 1] = request.cache_control.ttl
    return texts, breakpoints
