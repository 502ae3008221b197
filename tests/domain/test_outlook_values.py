"""Readings of the whole market in snapshots: stored, read again, and absent in those of earlier versions."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, MacroValue, Quadrant
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.unknown import Unknown
from tests.support.markets import START
from tests.support.views import snapshot, view

REGIME = RegimeReading(START, Level.CALM, 0.9, 0, (0.9, 0.1), None, START, 0.4, START)
MACRO = MacroReading(Quadrant.REFLATION, 0.5, 0.2, START, (MacroValue("CPIAUCSL", 310.1, "2025-12-01", None),))
ANOMALY = AnomalyReading(START, 3.5, 0.97, (("return", 0.9), ("volume", 0.1)))
ITEM = ContextItem("fear_greed", START, None, value=21.0, unit="of 100")


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
def test_snapshot_with_readings_is_read_as_it_was_stored(codec: Any) -> None:
    whole = replace(snapshot(view(anomaly=ANOMALY)), regime=REGIME, macro=MACRO, context=(ITEM,))
    assert codec.decode(codec.encode(whole), type=Snapshot) == whole
    unknown = replace(whole, regime=Unknown("no fit"), macro=Unknown("no source"))
    assert codec.decode(codec.encode(unknown), type=Snapshot) == unknown


def test_snapshot_of_an_earlier_version_has_no_context_and_no_anomaly() -> None:
    stored = msgspec.to_builtins(snapshot(view()))
    del stored["context"]
    for each in stored["symbols"].values():
        del each["anomaly"], each["derivatives"]["as_of"]
    stored["regime"] = {"is": "unknown", "reason": "no regime model is built in yet"}
    found = msgspec.convert(stored, Snapshot)
    assert (found.context, found.regime) == ((), Unknown("no regime model is built in yet"))
    assert [each.anomaly for each in found.symbols.values()] == [Unknown("not computed")]
