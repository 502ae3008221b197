"""The strategies of `examples/` run: in a call, through the command line, and as scripts."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import examples
from ocw_mcp import replay
from tests.support.shell import Ocw

ROOT = Path(examples.__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "__init__")


def test_examples_folder_has_three_strategies() -> None:
    assert NAMES == ["breakout", "crossover", "mean_reversion"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every", "days"), [("breakout", "4h", 4), ("crossover", "1h", 4), ("mean_reversion", "15m", 2)]
)
def test_example_strategy_trades_with_only_expected_refusals(name: str, every: str, days: int) -> None:
    decide = importlib.import_module(f"examples.{name}").decide
    result = replay("sim", strategy=decide, every=every, days=days)
    assert result.orders
    assert {each.code for each in result.refusals} <= {"REENTRY", "LOSSES_IN_A_ROW", "CORRELATED_EXPOSURE"}
    reasons = {reason for each in result.decisions for woken in each.reasons for reason in woken.reasons}
    assert any(str(reason).startswith("condition:price crosses_") for reason in reasons) == (name == "breakout")


@pytest.mark.parametrize("name", NAMES)
def test_example_runs_with_the_strategy_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(ROOT)
    ocw = Ocw(monkeypatch, capsys)
    said = ocw(
        "run",
        "--market",
        "sim",
        "--interval",
        "15m",
        "--for",
        "6h",
        "--every",
        "1h",
        "--json",
        "--strategy",
        f"examples.{name}:decide",
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["decided"]["by"] == {f"strategy:examples.{name}:decide": 6}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", NAMES)
def test_example_runs_as_a_script(name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.startswith("<ReplayResult BTCUSDT, ETHUSDT, SOLUSDT: equity 10,000.00 to ")
    assert " TradeRow\n" in said.stdout
    assert said.stderr == ""
