"""A model that makes the tool calls of a TOML file, behind the sandbox Messages API."""

import re
import tomllib
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.characters import Call, ModelAnswer, Say, SeededRandom
from ocw_mcp.sandbox.claude.request import MessagesRequest

PREFIX: Final = "mcp__ocw__"
"""What Claude Code puts before the name of each tool of the MCP server `ocw`."""
WAITING: Final = "Read"
"""A tool of the client's own, which its model calls to get another turn."""
PAUSE_MS: Final = 400
"""The time before a call is repeated."""
MOST_REPEATS: Final = 40


class Shown(NamedTuple):
    """A call of the model, and its answer as the client showed it to the model."""

    tool: str
    input: dict[str, Any]
    text: str
    is_error: bool


class ScriptedModel:
    """Makes the calls of a script one by one. `shown` has each call with its answer, `wrong` each unexpected answer."""

    def __init__(self, script: Path) -> None:
        self._calls: list[dict[str, Any]] = tomllib.loads(script.read_text(encoding="utf-8"))["call"]
        self._next = 0
        self._repeats = self._waited = 0
        self.shown: list[Shown] = []
        self.wrong: list[str] = []
        self.kept: dict[str, str] = {}
        self.tools: set[str] = set()
        """The names of the tools of all requests."""

    @property
    def unmade(self) -> list[str]:
        """The tools of the calls that have not had their answer."""
        return [call["tool"] for call in self._calls[self._next :]]

    def __call__(self, request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
        """Return the next call. A request without tools is one of the client's own, such as one for a title."""
        offered = {tool.name for tool in request.tools}
        if WAITING not in offered:
            return ModelAnswer((Say("A session"),))
        done = [each for each in reading.completed_calls(request) if each[0].name.startswith(PREFIX)]
        if not any(name.startswith(PREFIX) for name in offered) and self._waited < MOST_REPEATS:
            # On a busy machine the client has not connected yet; a later turn has the tools of the server.
            self._waited += 1
            return ModelAnswer((Call(WAITING, {"file_path": "nothing"}),), takes_ms=PAUSE_MS)
        self.tools |= offered
        repeated = len(done) > len(self.shown) and self._take(*done[-1])
        if self.wrong or not self.unmade:
            return ModelAnswer((Say("Done."),))
        call = self._calls[self._next]
        arguments = {name: self._filled(value) for name, value in call.get("input", {}).items()}
        return ModelAnswer((Call(PREFIX + call["tool"], arguments),), takes_ms=PAUSE_MS if repeated else 0)

    def _take(self, asked: Any, answer: Any) -> bool:
        """Compare an answer with the script, and return whether its call is repeated."""
        call, text = self._calls[self._next], answer.text
        self.shown.append(Shown(asked.name.removeprefix(PREFIX), asked.input, text, answer.is_error))
        missing = [each for each in call["shows"] if not re.search(each, text, re.MULTILINE)]
        self._repeats += 1
        if missing and call.get("repeat") and self._repeats <= MOST_REPEATS:
            return True
        if missing:
            self.wrong.append(f"{call['tool']}: {missing[0]!r} is not in {text!r}")
        self._repeats = 0
        for name, pattern in call.get("keeps", {}).items():
            self.kept[name] = re.findall(pattern, text)[-1]
        self._next += 1
        return False

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kept = self.kept[value["of"]]
        if "times" not in value:
            return kept
        number = Decimal(kept) * Decimal(str(value["times"]))
        return float(number.quantize(Decimal("0.0001") if number < 1 else Decimal("0.1"), ROUND_DOWN))
