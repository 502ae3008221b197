"""`ocw bench`: every measurement by its name, or all of them."""

import json

import pytest
from typer.testing import CliRunner

from ocw_mcp.app import bench
from ocw_mcp.app.bench import mcp
from ocw_mcp.app.cli.commands import app
from ocw_mcp.app.cli.measure import ENGINE
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.interfaces.auth import MOST_OPEN
from ocw_mcp.interfaces.serving import MOST_OF_ONE


def test_every_measurement_has_a_command() -> None:
    assert set(ENGINE) == set(bench.MEASURES)
    assert all(callable(bench.function_of(name)) for name in bench.MEASURES)


def test_bench_without_a_name_runs_every_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MEASURES", {name: lambda name=name: {"of": name} for name in ("gate", "memory")})
    said = CliRunner().invoke(app, ["bench", "--json"], catch_exceptions=False)
    assert json.loads(said.stdout) == {"gate": {"of": "gate"}, "memory": {"of": "memory"}}
    assert [line.partition(":")[0] for line in said.stderr.splitlines()] == ["measuring gate", "measuring memory"]


def test_mcp_bench_clients_stay_within_their_quota() -> None:
    assert min(MOST_OPEN, MOST_OF_ONE) >= mcp.CLIENTS / mcp.TOKENS


def test_unknown_bench_name_error_lists_known_names() -> None:
    with pytest.raises(SettingsError, match="expected one of replay, history"):
        bench.measure("speed")
