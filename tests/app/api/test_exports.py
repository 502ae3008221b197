"""The names that `import ocw_mcp` exports, which are imported when they are first used."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ocw_mcp
from ocw_mcp.domain import errors

PACKAGE = Path(ocw_mcp.__file__).parent
EXPORTED = [
    "__version__",
    "Action",
    "AttachError",
    "BookBusy",
    "BookError",
    "Comparison",
    "Correlation",
    "Decision",
    "DecisionRow",
    "DerivativesView",
    "EngineClient",
    "EquityPoint",
    "Feasible",
    "FeedError",
    "FetchError",
    "FormingCandle",
    "FormingView",
    "GuardPlan",
    "Happening",
    "HappeningKind",
    "IndicatorValues",
    "JournalDiverged",
    "JournalError",
    "Leg",
    "MarketUnreachable",
    "OcwError",
    "OrderRow",
    "PositionView",
    "Records",
    "RefusalRow",
    "Remark",
    "ReplayResult",
    "RequestError",
    "RestingOrder",
    "SettingsError",
    "SizeStep",
    "Snapshot",
    "StandingCondition",
    "StrategyError",
    "SymbolView",
    "SymbolWake",
    "TapeError",
    "TradePart",
    "TradeRow",
    "TradeView",
    "Unknown",
    "VenueRefused",
    "WakeCondition",
    "WakeKind",
    "WakeReason",
    "connect",
    "replay",
]


def test_exported_names_equal_the_expected_list() -> None:
    assert ocw_mcp.__all__ == EXPORTED
    assert set(EXPORTED) <= set(dir(ocw_mcp))


@pytest.mark.parametrize("name", EXPORTED)
def test_each_exported_name_exists_with_a_docstring(name: str) -> None:
    found = getattr(ocw_mcp, name)
    if name == "__version__":
        assert isinstance(found, str)
        return
    assert inspect.getdoc(found), f"{name} has no docstring"
    assert found.__doc__ != (inspect.getdoc(object) or "")


@pytest.mark.parametrize("name", [name for name in EXPORTED if inspect.isclass(getattr(ocw_mcp, name))])
def test_each_public_method_has_a_docstring(name: str) -> None:
    own = {key: value for key, value in vars(getattr(ocw_mcp, name)).items() if not key.startswith("_")}
    methods = {key: value for key, value in own.items() if inspect.isfunction(value) or isinstance(value, property)}
    assert [key for key, value in methods.items() if not value.__doc__] == []


def test_type_stub_exports_the_same_names_and_objects_as_the_package() -> None:
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert sorted(seen) == sorted(EXPORTED[1:])
    for name, module in seen.items():
        assert getattr(importlib.import_module(module or ""), name) is getattr(ocw_mcp, name)
    assert (PACKAGE / "py.typed").is_file()


def test_every_public_error_is_exported() -> None:
    inside = {"CannotDecideError", "InvariantError", "SourceUnavailable"}
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree - inside <= set(EXPORTED)


def test_unknown_attribute_of_the_package_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ocw_mcp' has no attribute 'replays'"):
        _ = ocw_mcp.replays  # type: ignore[attr-defined]


def ran(program: str) -> str:
    """Return the output of a program in a new process."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_import_of_the_package_imports_no_other_module() -> None:
    idle = int(ran("import sys, importlib; print(len(sys.modules))"))
    names = "[name for name in sys.modules if name.startswith('ocw_mcp.')]"
    assert ran(f"import sys, ocw_mcp; print({names}, len(sys.modules))") == f"[] {idle + 1}\n"


def test_import_of_class_decision_imports_no_heavy_library() -> None:
    heavy = ("numpy", "talib", "pydantic", "sqlite_utils", "typer", "mcp")
    names = f"[name for name in {heavy} if name in sys.modules]"
    assert ran(f"import sys; from ocw_mcp import Decision, Leg, OcwError, Snapshot; print({names})") == "[]\n"
