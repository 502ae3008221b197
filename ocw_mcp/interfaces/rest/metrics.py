"""Metrics for Prometheus: the state of the engine, and the answers of these interfaces."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ocw_mcp.domain.state import TradingState
from ocw_mcp.interfaces.mcp.access import GetFacade


class EngineMetrics:
    """A registry of its own, without the default metrics of the process."""

    def __init__(self, get_facade: GetFacade) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Engine(get_facade))
        self._requests = Counter(
            "ocw_requests", "Answers by route and status.", ["route", "status"], registry=self.registry
        )

    def counted(self, route: str, status: int) -> None:
        """Count an answer."""
        self._requests.labels(route, str(status)).inc()


class _Engine(Collector):
    """Reads the engine at each scrape."""

    def __init__(self, get_facade: GetFacade) -> None:
        self._get_facade = get_facade

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registering the collector reads no engine."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        facade = self._get_facade()
        moment, status, portfolio = facade.moment(), facade.status(), facade.portfolio()
        state = GaugeMetricFamily("ocw_desk_state", "1 for the current trading state.", labels=["state"])
        for each in TradingState:
            state.add_metric([each], float(each is moment.state))
        yield state
        gauges = {
            "ocw_equity_quote": ("Equity in quote currency.", float(portfolio.equity)),
            "ocw_gross_share": ("Gross exposure over equity.", float(portfolio.gross_share)),
            "ocw_daily_loss_share": ("Today's loss over the day's first equity.", float(portfolio.daily_loss)),
            "ocw_drawdown_share": ("Drawdown from the peak of equity.", float(portfolio.drawdown)),
            "ocw_open_positions": ("Open positions.", status.open_positions),
            "ocw_unprotected_positions": ("Positions without a live stop.", len(status.unprotected)),
            "ocw_live_orders": ("Orders that may still trade.", status.live_orders),
            "ocw_data_stale": ("1 while some price is too old for an entry.", float(moment.stale)),
            "ocw_catching_up": ("1 while the engine catches up after a restart.", float(moment.catching_up)),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(name, meaning, value=value)
        if moment.as_of is not None:
            yield GaugeMetricFamily("ocw_engine_time_seconds", "Engine time.", value=moment.as_of / 1_000)
        yield CounterMetricFamily("ocw_wakes", "Wakes of the gate.", value=status.last_wake)
