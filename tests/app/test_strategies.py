"""`--strategy MODULE:FUNCTION`: a trader's function as the agent of a run."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.app.strategies import load_strategy, named
from ocw_mcp.domain.errors import StrategyError
from ocw_mcp.domain.snapshot import Snapshot
from tests.support.markets import path
from tests.support.shell import Ocw
from tests.support.tapes import write_zip

PRICES = [100.0 + math.sin(index / 40) * 3 for index in range(240)]
MODULE = "a_traders_module"
SOURCE = """
from ocw_mcp import Decision, Leg

calls = []
number = 3


def decide(snapshot):
    calls.append(snapshot.at)
    view = snapshot.symbols["BTCUSDT"]
    if snapshot.positions:
        return Decision([Leg("BTCUSDT", "SELL")])
    return Decision([Leg("BTCUSDT", "BUY", size="0.05", stop=view.last * 0.97)])


def fails(snapshot):
    return {}["no such key"]


def wrong(snapshot):
    return 7
"""


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with a tape and a module of strategies in it."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    write_zip(tmp_path, path(PRICES))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]


def run(ocw: Ocw, *more: object, strategy: str = f"{MODULE}:decide") -> Any:
    said = ocw("run", "--market", ".", "--json", "--strategy", strategy, *more)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_strategy_function_is_named_as_decider_and_principal(ocw: Ocw, folder: Path) -> None:
    report = run(ocw, "--every", "15m", "--state", folder / "book")
    assert report["decided"]["by"] == {f"strategy:{MODULE}:decide": len(PRICES) // 15}
    assert report["fills"] > 2
    assert {wake["t"] % (15 * 60_000) for wake in report["wakes"]} == {0}
    orders = json.loads(ocw("orders", "--json", "--all", "--state", folder / "book").out)["orders"]
    assert {each["principal"] for each in orders} == {f"strategy:{MODULE}:decide", "guard"}


def test_same_inputs_give_the_same_fingerprint(ocw: Ocw, folder: Path) -> None:
    first, again = run(ocw, "--every", "15m"), run(ocw, "--every", "15m")
    assert first["fingerprint"] == again["fingerprint"]
    assert run(ocw, "--every", "30m")["fingerprint"] != first["fingerprint"]


def test_run_in_parts_has_the_fingerprint_of_the_whole(ocw: Ocw, folder: Path) -> None:
    whole = run(ocw, "--every", "15m")
    run(ocw, "--every", "15m", "--for", "90m", "--state", folder / "book")
    assert run(ocw, "--every", "15m", "--state", folder / "book")["fingerprint"] == whole["fingerprint"]


def test_changed_time_between_wakes_is_reported_at_the_start(ocw: Ocw, folder: Path) -> None:
    run(ocw, "--every", "15m", "--for", "90m", "--state", folder / "book")
    said = ocw("run", "--market", ".", "--strategy", f"{MODULE}:decide", "--every", "1800s", "--state", folder / "book")
    assert "policy default every 15m (" in said.err
    assert "policy default every 30m (" in said.err


def test_an_error_of_the_strategy_ends_a_run_with_its_traceback(ocw: Ocw, folder: Path) -> None:
    with pytest.raises(KeyError, match="no such key") as raised:
        ocw("run", "--market", ".", "--every", "15m", "--strategy", f"{MODULE}:fails", "--state", folder / "book")
    assert Path(raised.traceback[-1].path).name == f"{MODULE}.py"
    assert json.loads(ocw("journal", "verify", "--json", "--state", folder / "book").out)["ok"]
    decisions = json.loads(ocw("decisions", "--json", "--state", folder / "book").out)["decisions"]
    assert [each["decision"]["cause"] for each in decisions] == [{"kind": "ERROR", "detail": "KeyError: 'no such key'"}]
    run(ocw, "--every", "15m", "--state", folder / "book")


def test_paced_run_continues_after_an_error_of_the_strategy(ocw: Ocw, folder: Path) -> None:
    said = ocw("run", "--market", ".", "--every", "15m", "--strategy", f"{MODULE}:fails", "--speed", "1000000")
    assert said.code == 0
    assert said.err.count("the strategy failed, and the wake is a HOLD") == len(PRICES) // 15
    assert "KeyError: 'no such key'" in said.err
    assert "ended because the market ended" in said.out


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        ("no_such_module:decide", "there is no module 'no_such_module' in "),
        (f"{MODULE}.deeper:decide", f"there is no module '{MODULE}.deeper' in "),
        (f"{MODULE}:decid", f"the module {MODULE} has no 'decid'; expected one of decide, fails, wrong"),
        (f"{MODULE}:number", f"the strategy {MODULE}:number is 3, which cannot be called; expected a function that "),
        (MODULE, f"the strategy is '{MODULE}'; expected MODULE:FUNCTION, such as my_module:decide"),
        (":decide", "the strategy is ':decide'; expected MODULE:FUNCTION"),
        (f"{MODULE}:wrong", f"strategy:{MODULE}:wrong returned a value of type int, 7; expected a Decision, or None"),
    ],
)
def test_invalid_strategy_is_refused_in_one_sentence(ocw: Ocw, folder: Path, strategy: str, why: str) -> None:
    said = ocw("run", "--market", ".", "--strategy", strategy)
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith(f"ocw: {why}")


def test_error_names_the_missing_import_of_a_strategy_module(folder: Path) -> None:
    (folder / f"{MODULE}_two.py").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_strategy(f"{MODULE}_two:decide", folder)


def test_strategy_folder_does_not_hide_installed_modules(folder: Path) -> None:
    load_strategy(f"{MODULE}:decide", folder)
    assert str(folder) not in sys.path[:1]
    assert str(folder) in sys.path


def test_strategy_and_agent_options_together_are_refused(ocw: Ocw, folder: Path) -> None:
    said = ocw("run", "--market", ".", "--strategy", f"{MODULE}:decide", "--agent", "none")
    assert (said.code, said.err) == (
        2, "ocw: --strategy and --agent none both choose the agent; expected one of them\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("every", "why"),
    [
        ("soon", "every: 'soon' is not a span of time"),
        (
            "90s",
            "every 90s, which is not a multiple of the candle length; expected a multiple of 1m",
        ),
    ],
)
def test_invalid_time_between_wakes_is_refused(ocw: Ocw, folder: Path, every: str, why: str) -> None:
    said = ocw("run", "--market", ".", "--every", every)
    assert said.code == 2
    assert why in said.err


def test_option_every_makes_the_rules_decide_at_fixed_times(ocw: Ocw, folder: Path) -> None:
    report = json.loads(ocw("replay", ".", "--json", "--every", "1h").out)
    assert report["decided"]["by"] == {"rules": len(PRICES) // 60}


def strategy(snapshot: Snapshot) -> None:
    """Hold."""


class Callable:
    """Hold, too."""

    def __call__(self, snapshot: Snapshot) -> None: ...


def test_strategy_is_named_after_its_module_and_function() -> None:
    assert named(strategy).name == f"strategy:{__name__}:strategy"
    assert named(Callable()).name == f"strategy:{__name__}:Callable"
    with pytest.raises(StrategyError, match="which cannot be called"):
        named(3)
