"""The outlook: regime, macro regime, anomalies, and reports of outside sources, with the factor on size limits."""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.regime.tracker import TrackerState
from ocw_mcp.core.risk.sizes import exposure_scale, macro_factor, regime_factor
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.outlook_events import ContextRead, MacroRead
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.steps import ContextSeen, MacroSeen, OutlookSeen, RegimeFitted
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.anomaly import Anomalies, SymbolAnomalyState
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.regime import RegimeFollower

MACRO_DAYS: Final = 14
"""The age in days from which a macro reading counts as unknown: it has yields, which are published every few days."""
CONTEXT_STALE: Final = 12 * HOUR
"""The age (ms) from which a report of an outside source is stale: the source is read more often."""
CONTEXT_OLDEST: Final = 7 * DAY
"""The age (ms) from which such a report is not shown."""
CONTEXT_KEPT: Final = 40
"""The most such reports that are kept."""


class OutlookState(msgspec.Struct):
    """The saved state of `Outlook`."""

    tracker: TrackerState
    level: Level | None
    anomalies: dict[str, SymbolAnomalyState]
    macro: MacroReading | Unknown
    context: tuple[ContextItem, ...]


class Outlook:
    """The readings that come from a fit, a test or an outside source, and the factor that follows from two of them."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._effects = effects
        self._policy = config.policies.scale
        self.follower = RegimeFollower(config, effects)
        self.anomalies = Anomalies(config.symbols, wakes=config.policies.gate.anomaly < 1)
        self._macro: MacroReading | Unknown = Unknown("no macro source is read (settings OUTSIDE and MACRO_DIR)")
        self._context: tuple[ContextItem, ...] = ()

    def take(self, seen: OutlookSeen) -> None:
        """Take a fitted model, or a report of an outside source."""
        match seen:
            case RegimeFitted():
                self.follower.take(seen)
            case MacroSeen(reading):
                self._macro = reading
                self._effects.record(MacroRead(reading))
            case ContextSeen(items):
                sources = {each.source for each in items}
                kept = [each for each in self._context if each.source not in sources]
                self._context = tuple(sorted([*kept, *items], key=lambda each: each.source))[:CONTEXT_KEPT]
                self._effects.record(ContextRead(items))

    def regime(self, now: int) -> RegimeReading | Unknown:
        """Return the regime at `now` (ms)."""
        return self.follower.reading(now)

    def level(self, now: int) -> Level | Unknown:
        """Return the level of the regime at `now` (ms)."""
        reading = self.follower.reading(now)
        return reading if isinstance(reading, Unknown) else reading.level

    def macro(self, now: int) -> MacroReading | Unknown:
        """Return the macro regime at `now` (ms); an old one is unknown."""
        macro = self._macro
        if isinstance(macro, Unknown):
            return macro
        if (days := (now - macro.as_of) // DAY) >= MACRO_DAYS:
            return Unknown(f"the newest macro value is {days} days old")
        return macro

    def context(self, now: int) -> tuple[ContextItem, ...]:
        """Return the reports of outside sources, sorted by source: from `CONTEXT_STALE` as stale, then none."""
        return tuple(
            msgspec.structs.replace(each, stale=True) if now - each.at >= CONTEXT_STALE else each
            for each in self._context
            if now - each.at < CONTEXT_OLDEST
        )

    def quadrant(self, now: int) -> Quadrant | Unknown:
        """Return the quadrant of the macro regime at `now` (ms)."""
        macro = self.macro(now)
        return macro if isinstance(macro, Unknown) else macro.quadrant

    def scale(self, now: int) -> Decimal:
        """Return the factor on size limits at `now` (ms)."""
        return exposure_scale(self._policy, self.level(now), self.quadrant(now))

    def scale_reason(self, now: int) -> str:
        """Return the two factors of `scale`: `regime calm 1, macro unknown 0.9`."""
        level, quadrant, policy = self.level(now), self.quadrant(now), self._policy
        regime, macro = ("unknown" if isinstance(each, Unknown) else each.value for each in (level, quadrant))
        factors = plain(regime_factor(policy, level)), plain(macro_factor(policy, quadrant))
        return f"regime {regime} {factors[0]}, macro {macro} {factors[1]}"

    def state(self) -> OutlookState:
        """Return all that must survive a restart."""
        tracker, level = self.follower.state()
        return OutlookState(tracker, level, self.anomalies.state(), self._macro, self._context)

    def restore(self, state: OutlookState, /) -> None:
        """Restore a state that `state` returned."""
        self.follower.restore((state.tracker, state.level))
        self.anomalies.restore(state.anomalies)
        self._macro, self._context = state.macro, state.context
