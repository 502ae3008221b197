"""The texts that the model reads: the templates of `prompts/` with the limits in force, and the context of a wake.

In a template `{table.key}` is replaced by a value of the policy file, so that no limit is typed twice, and a field
`{name}` by a text at each use.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import Policies, value_text
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.render.snapshot_text import compact, standing
from ocw_mcp.render.strategy_text import review_text, rules_text

FIELDS: Final[dict[str, frozenset[str]]] = {
    "system": frozenset(),
    "decide": frozenset({"wake", "snapshot", "memory", "rules", "review"}),
    "review_positions": frozenset({"scores"}),
    "reflect": frozenset({"facts"}),
    "daily_digest": frozenset({"facts"}),
}
"""The fields `{name}` of each template. `system` has none: its text must not change, since it is cached."""

BRIEFED_LIMITS: Final = frozenset(
    {
        *("position.max_share", "positions.max_open", "exposure.max_gross", "correlated.symbols"),
        *("correlated.max_share", "risk.max_share", "risk.gap_allowance", "leverage.max", "leverage.usual"),
        *("daily_loss.max_share", "losses.in_a_row", "pace.reentry_s"),
    }
)
"""The limits that a decision has to know beforehand. The others are named when they bind."""

_FIELD = re.compile(r"\{([a-z_]+)(?:\.([a-z0-9_]+))?\}")


class Prompts:
    """The templates, with the limits in force filled in."""

    def __init__(self, texts: Mapping[str, str], policies: Policies) -> None:
        """`texts` are the templates by name. Raises SettingsError that lists every problem."""
        self._policies = policies
        problems: list[str] = []
        self._templates = {
            name: _fill_limits(name, texts.get(name, "").strip(), policies, problems.append) for name in FIELDS
        }
        if problems:
            raise SettingsError(f"invalid prompts: {'; '.join(problems)}")
        shown = tuple(each for each in limits_in_force(policies) if each[0] in BRIEFED_LIMITS)
        self.system = f"{self.fill('system')}\n\n{standing(shown)}"
        """The system prompt, the same at every wake."""

    def fill(self, name: str, **values: str) -> str:
        """Return a template with its fields replaced by the values; braces within a value are not replaced."""
        return _FIELD.sub(lambda found: values[found[1]], self._templates[name])

    def context(self, request: DecisionRequest, reader: str, memory: str = "") -> str:
        """Return the context of a wake: snapshot, recalled entries, the view of the rules, and a review if asked for.

        `reader` is the principal of the model's decisions; its own texts are not marked as untrusted.
        """
        snapshot, policies = request.snapshot, self._policies
        scores = review_text(snapshot, policies)
        return self.fill(
            "decide",
            wake=str(request.wake_id),
            snapshot=compact(snapshot, reader=reader, briefed=True),
            memory=memory and f"\n\n{memory}",
            rules=rules_text(snapshot, policies),
            review=scores and f"\n\n{self.fill('review_positions', scores=scores)}",
        )


def _fill_limits(name: str, text: str, policies: Policies, problem: Callable[[str], None]) -> str:
    if not text:
        files = ", ".join(f"{each}.md" for each in FIELDS)
        problem(f"{name}.md is missing or empty; expected a text in each of {files}")
        return ""
    used = {found[1] for found in _FIELD.finditer(text) if found[2] is None}
    for unknown in sorted(used - FIELDS[name]):
        known = ", ".join(f"{{{each}}}" for each in sorted(FIELDS[name])) or "none"
        problem(f"{name}.md has {{{unknown}}}, which is not filled in there; expected {known}")
    for missing in sorted(FIELDS[name] - used):
        problem(f"{name}.md lacks {{{missing}}}; write it at the place of its text")

    def value(found: re.Match[str]) -> str:
        if found[2] is None:
            return found[0]
        limit = getattr(getattr(policies, found[1], None), found[2], None)
        if limit is None:
            problem(f"{name}.md quotes {found[0]}, which is no limit of the policy file; ocw policies show lists them")
            return ""
        return value_text(limit, " ")

    return _FIELD.sub(value, text)
