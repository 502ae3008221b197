"""The metrics of an engine for Prometheus."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import SECOND
from ocw_mcp.interfaces.mcp.tool import GetFacade
from ocw_mcp.runtime.facade import FeedView
from ocw_mcp.runtime.outbox import OutboxStats

GENERAL: Final = ("clock", "market")
"""The subjects beside symbols that can be degraded."""


class EngineMetrics(Collector):
    """The state of the engine for Prometheus, read at each scrape."""

    def __init__(self, get_facade: GetFacade) -> None:
        self._get_facade = get_facade

    def describe(self) -> Iterator[Metric]:
        """Return no metrics, so that registering the collector does not read the engine."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        facade = self._get_facade()
        moment, status, portfolio = facade.moment(), facade.status(), facade.portfolio()
        state = GaugeMetricFamily("ocw_desk_state", "1 for the current trading state.", labels=["state"])
        for possible in TradingState:
            state.add_metric([possible], float(possible is moment.state))
        yield state
        yield from _of_the_feed(facade.feed())
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
        if (outbox := facade.outbox()) is not None:
            yield from _of_the_outbox(outbox)


def _of_the_outbox(seen: OutboxStats) -> Iterator[Metric]:
    """Yield the metrics of the requests to an exchange."""
    yield GaugeMetricFamily("ocw_outbox_waiting", "Orders and cancels that wait to be sent.", value=seen.waiting)
    yield GaugeMetricFamily("ocw_outbox_under_way", "Requests without an answer yet.", value=seen.under_way)
    yield CounterMetricFamily("ocw_outbox_orders_sent", "Orders that were sent since the start.", value=seen.sent)
    meaning = "The longest time that an order waited to be sent since the start."
    yield GaugeMetricFamily("ocw_outbox_longest_wait_seconds", meaning, value=seen.longest_wait_ms / SECOND)


def _of_the_feed(seen: FeedView) -> Iterator[Metric]:
    """Yield the metrics of the market data; those of connections and requests on the live market only."""
    age = GaugeMetricFamily("ocw_data_age_seconds", "Age of the last closed candle.", labels=["symbol"])
    for each in seen.symbols:
        if each.age_ms is not None:
            age.add_metric([each.symbol], each.age_ms / SECOND)
    yield age
    meaning = "1 for a symbol, clock or market whose data cannot be relied on, else 0."
    degraded = GaugeMetricFamily("ocw_feed_degraded", meaning, labels=["subject"])
    for subject in sorted({*(each.symbol for each in seen.symbols), *GENERAL, *seen.degraded}):
        degraded.add_metric([subject], float(subject in seen.degraded))
    yield degraded
    if seen.heartbeat_at is not None:
        meaning = "The machine's time of the last heartbeat."
        yield GaugeMetricFamily("ocw_heartbeat_timestamp_seconds", meaning, value=seen.heartbeat_at / SECOND)
    if (health := seen.health) is None:
        return
    incidents = CounterMetricFamily("ocw_feed_incidents", "Faults of the market data by kind.", labels=["kind"])
    for kind, count in health.incidents.items():
        incidents.add_metric([kind], count)
    yield incidents
    ages = GaugeMetricFamily("ocw_feed_stream_age_seconds", "Age of a stream's last valid message.", labels=["stream"])
    for stream in health.streams:
        if stream.age_ms is not None:
            ages.add_metric([stream.name], stream.age_ms / SECOND)
    yield ages
    yield CounterMetricFamily("ocw_feed_messages", "Valid messages of the streams.", value=health.messages)
    meaning = "Stream connections that replaced an earlier one."
    yield CounterMetricFamily("ocw_feed_reconnects", meaning, value=health.reconnects)
    meaning = "Requests that the exchange answered with 429 or 418."
    yield CounterMetricFamily("ocw_feed_requests_refused", meaning, value=health.requests_refused)
    meaning = "Weight of the requests in the present minute."
    yield GaugeMetricFamily("ocw_feed_request_weight", meaning, value=health.request_weight)
    meaning = "Weight that the exchange allows in a minute."
    yield GaugeMetricFamily("ocw_feed_request_weight_limit", meaning, value=health.request_weight_limit)
    if health.clock_offset_ms is not None:
        meaning = "By how much the machine's clock is ahead of the exchange's."
        yield GaugeMetricFamily("ocw_feed_clock_offset_seconds", meaning, value=health.clock_offset_ms / SECOND)
