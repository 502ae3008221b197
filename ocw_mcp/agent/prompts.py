"""What the model is told: the texts of `prompts/`, with the limits in force quoted from the policy file.

In a text `{table.key}` stands for a value of the policy file, so that no limit is typed twice, and a bare `{name}` for
what is filled in at each wake.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import Policies, value_text

FIELDS: Final[dict[str, frozenset[str]]] = {
    "system": frozenset(),
    "decide": frozenset({"wake", "snapshot", "memory", "rules"}),
    "review_positions": frozenset({"wake", "snapshot", "memory", "rules"}),
    "reflect": frozenset({"facts"}),
    "daily_digest": frozenset({"facts"}),
}
"""The prompts, and what is filled into each when it is used. `system` has nothing of the kind: it is cached."""

_FIELD = re.compile(r"\{([a-z_]+)(?:\.([a-z0-9_]+))?\}")


class Prompts(msgspec.Struct, frozen=True):
    """The prompts with limits quoted."""

    system: str
    decide: str
    review_positions: str
    reflect: str
    daily_digest: str

    def context(self, wake: int, snapshot: str, rules: str, *, memory: str = "", review: bool = False) -> str:
        """What the model is told at a wake: the snapshot as text, what is remembered, and what the rules would do."""
        values = {"wake": str(wake), "snapshot": snapshot, "memory": memory and f"\n\n{memory}", "rules": rules}
        return _filled(self.review_positions if review else self.decide, values)

    def on_trade(self, facts: str) -> str:
        """What the model is told to have it reflect on a closed trade."""
        return _filled(self.reflect, {"facts": facts})

    def on_day(self, facts: str) -> str:
        """The same for a day that is over."""
        return _filled(self.daily_digest, {"facts": facts})


def compose(texts: Mapping[str, str], policies: Policies) -> Prompts:
    """The prompts out of their files' texts. Raises SettingsError naming every problem."""
    problems: list[str] = []
    quoted = {name: _quoted(name, texts, policies, problems.append) for name in FIELDS}
    if problems:
        raise SettingsError(f"the prompts: {'; '.join(problems)}")
    return Prompts(**quoted)


def _filled(template: str, values: Mapping[str, str]) -> str:
    # What is filled in is not looked at again: it may hold anything, braces too.
    return _FIELD.sub(lambda found: values[found[1]], template)


def _quoted(name: str, texts: Mapping[str, str], policies: Policies, problem: Callable[[str], None]) -> str:
    text = texts.get(name, "").strip()
    if not text:
        problem(f"{name}.md is missing or empty; expected one of {', '.join(f'{each}.md' for each in FIELDS)} each")
        return ""
    used = {found[1] for found in _FIELD.finditer(text) if found[2] is None}
    for strange in sorted(used - FIELDS[name]):
        known = ", ".join(f"{{{each}}}" for each in sorted(FIELDS[name])) or "none"
        problem(f"{name}.md has {{{strange}}}, which is nothing that is filled in there; expected {known}")
    for missing in sorted(FIELDS[name] - used):
        problem(f"{name}.md lacks {{{missing}}}; write where it is to stand")

    def value(found: re.Match[str]) -> str:
        if found[2] is None:
            return found[0]
        quoted = getattr(getattr(policies, found[1], None), found[2], None)
        if quoted is None:
            problem(f"{name}.md quotes {found[0]}, which is no limit of the policy file; ocw policies show lists them")
            return ""
        return value_text(quoted, " ")

    return _FIELD.sub(value, text)
