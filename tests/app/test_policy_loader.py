"""Loading of policies and prompts: exact values, a hash of the text, and one clear sentence for each fault."""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pydantic import BaseModel

from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.resources import shipped
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import ApprovalPolicy, MandatePolicy, Policies
from ocw_mcp.domain.state import Mode
from tests.support.examples import examples, slow_after

DEFAULT = (shipped("policies") / "default.toml").read_text(encoding="utf-8")


def numbers() -> list[tuple[str, str]]:
    """Yield every numeric limit as (table, key)."""
    return [
        (table, key)
        for table, declared in Policies.model_fields.items()
        if isinstance(declared.annotation, type) and issubclass(declared.annotation, BaseModel)
        for key, limit in declared.annotation.model_fields.items()
        if limit.annotation in (int, float, Decimal)
    ]


def written(data: dict[str, Any]) -> str:
    """Return a policy file with values; texts are quoted."""
    lines = [f'name = "{data["name"]}"'] if "name" in data else []
    for table, content in data.items():
        if isinstance(content, dict):
            lines.append(f"[{table}]")
            lines += [f"{key} = {value if isinstance(value, str) else list(value)}" for key, value in content.items()]
    return "\n".join(lines)


def values() -> dict[str, Any]:
    """Return the values of the shipped file, with numbers as they are written, and numbers that it may omit."""
    return {name: dict(content) if isinstance(content, dict) else content for name, content in shipped_values().items()}


@cache
def shipped_values() -> dict[str, Any]:
    data = tomllib.loads(DEFAULT, parse_float=str)
    shipped = load_policies(None).policies
    for table, key in numbers():
        if isinstance(getattr(shipped, table), BaseModel):
            data.setdefault(table, {}).setdefault(key, str(getattr(getattr(shipped, table), key)))
    for content in data.values():
        if isinstance(content, dict):
            for key, value in content.items():
                content[key] = (
                    f'"{value}"'
                    if key in ("timeframe", "rules", "policy", "mode")
                    else "{ " + ", ".join(f"{name} = {size}" for name, size in value.items()) + " }"
                    if isinstance(value, dict)
                    else str(value).lower()
                    if isinstance(value, bool)
                    else value
                    if isinstance(value, list)
                    else str(value)
                )
    return data


def policy_file(directory: Path, text: str) -> Path:
    path = directory / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(directory: Path, text: str) -> str:
    path = policy_file(directory, text)
    with pytest.raises(SettingsError) as caught:
        load_policies(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_shipped_default_loads_with_exact_values() -> None:
    loaded = load_policies(None)
    assert loaded.source_name == "default.toml"
    assert loaded.policies.name == "default"
    assert loaded.policies.order.price_allowance == Decimal("0.002")
    assert str(loaded.policies.order.price_allowance) == "0.002"
    assert loaded.policies.order.max_notional == Decimal(5000)
    assert loaded.policies.gate.outlier_step == 1.12
    assert loaded.policies.gate.outlier_sigmas["15m"] == 4
    assert isinstance(loaded.policies.gate.outlier_sigmas["15m"], float)


def test_toml_written_by_these_tests_equals_the_shipped_policy(tmp_path: Path) -> None:
    assert load_policies(policy_file(tmp_path, written(values()))).policies == load_policies(None).policies


def test_a_policy_is_chosen_by_name_or_by_file(tmp_path: Path) -> None:
    path = policy_file(tmp_path, DEFAULT)
    assert load_policies(tmp_path, "mine") == load_policies(path) == load_policies(path, "whatever")


def test_policy_hash_does_not_depend_on_line_ends(tmp_path: Path) -> None:
    plain = load_policies(None).hash
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + DEFAULT.replace("\n", "\r\n").encode())
    (tmp_path / "b.toml").write_text(DEFAULT + "# a remark\n", encoding="utf-8")
    assert load_policies(tmp_path, "a").hash == plain
    assert load_policies(tmp_path, "b").hash != plain
    assert len(plain) == 64


@pytest.mark.parametrize(("table", "key"), numbers())
def test_misspelt_key_error_suggests_the_known_key(tmp_path: Path, table: str, key: str) -> None:
    data = values()
    data[table][key[:2] + key[3:]] = data[table].pop(key)
    assert complaint(tmp_path, written(data)) == f"{table}.{key[:2] + key[3:]} is unknown; did you mean {key}?"


@pytest.mark.parametrize(
    "value", slow_after(5, ["nan", "inf", "true", '"1"', "-1", "-inf", "[1]", "2026-01-01", "1e300", "1e-300"])
)
@pytest.mark.parametrize(("table", "key"), numbers())
def test_absurd_limit_is_refused_in_one_sentence(tmp_path: Path, table: str, key: str, value: str) -> None:
    data = values()
    data[table][key] = value
    text = complaint(tmp_path, written(data))
    assert text.startswith(f"{table}.{key} ") or (text.startswith(f"[{table}]") and key in text)
    assert "expected" in text or "above" in text
    assert "\n" not in text


def bounds() -> list[tuple[str, str, str, str]]:
    """Yield a value just outside each declared bound, with the text that must name the bound."""
    rows = []
    for table, key in numbers():
        model = Policies.model_fields[table].annotation
        assert model is not None
        step = 1 if model.model_fields[key].annotation is int else Decimal("0.0001")
        for bound in model.model_fields[key].metadata:
            for sign, kind, words in (
                (-1, "ge", "{} or more"),
                (0, "gt", "more than {}"),
                (1, "le", "{} or less"),
                (0, "lt", "less than {}"),
            ):
                limit = getattr(bound, kind, None)
                if limit is not None:
                    rows.append((table, key, str(Decimal(str(limit)) + sign * step), words.format(f"{limit:g}")))
    return rows


@pytest.mark.parametrize(("table", "key", "value", "words"), bounds())
def test_error_on_a_policy_limit_out_of_bounds_names_the_bound(
    tmp_path: Path, table: str, key: str, value: str, words: str
) -> None:
    data = values()
    data[table][key] = value
    text = complaint(tmp_path, written(data))
    assert text.startswith(f"{table}.{key} is ")
    assert words in text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[order]", "[ordr]", "[ordr] is unknown; did you mean order?"),
        (
            "[order]",
            "[order]\nfee = 1",
            "order.fee is unknown; expected one of max_notional, price_allowance; remove it",
        ),
        ("[order]", "[order", "is not valid TOML: "),
        ("[order]", "[order]\n[order]", "(at line 11, column 7)"),
        ("slack_s = 90", "slack_s = 90.5", "data.slack_s is 90.5; expected a whole number"),
        ('allow = ["*USDT"]', "allow = []", "symbols.allow is a list; expected at least 1 entry"),
        ('allow = ["*USDT"]', "allow = [1]", "symbols.allow.0 is 1; expected a text in quotes"),
        ('allow = ["*USDT"]', 'allow = "*USDT"', "symbols.allow is '*USDT'; expected a list"),
        ("close_wakes = []", 'close_wakes = ["1M"]', "[gate]: '1M' is not a span of time"),
        ('timeframe = "1h"', 'timeframe = "soon"', "[rules]: 'soon' is not a span of time"),
        (
            "max_entry_quantile = 1.0",
            "max_entry_quantile = 0.995",
            "[anomaly]: max_entry_quantile (0.995) refuses no entry, because no quantile above 0.995 is read",
        ),
        ("anomaly = 0.99 ", "anomaly = 0.999 ", "[gate]: anomaly (0.999) never wakes, because no quantile above 0.995"),
        ("timer_min_s = 300", "timer_min_s = 22000", "[gate]: timer_min_s (22000) is above timer_max_s (21600)"),
        ('name = "default"', 'name = ""', "name is ''; expected at least 1 character"),
        ('name = "default"', "name = 0x" + "f" * 9999, "name is a number; expected a text in quotes"),
        ('name = "default"', "", "name is missing; expected a value"),
        ('name = "default"', 'name = "default"\nagent = 1', "agent is unknown"),
        ('name = "default"', 'name = "default"\napproval = 1', "[approval] is 1; expected a table"),
        ('name = "default"', 'name = "default"\nx = ' + "[" * 5000, "is not valid TOML"),
        ('name = "default"', 'name = "default"\nx = 1e99999999999999999999', "is not valid TOML"),
    ],
)
def test_invalid_policy_file_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in DEFAULT
    text = complaint(tmp_path, DEFAULT.replace(old, new, 1))
    assert says in text
    assert "\n" not in text


MANDATE = """
[mandate]
amount = 2500
symbols = ["BTC*", "ETH*"]
expires = 2026-12-31T00:00:00Z
"""
APPROVAL = """
[approval]
above_notional = 1000
answer_s = 900
modes = ["demo", "live"]
"""


def test_mandate_and_approval_tables_are_optional(tmp_path: Path) -> None:
    without = load_policies(policy_file(tmp_path, DEFAULT)).policies
    assert (without.mandate, without.approval) == (None, None)
    given = load_policies(policy_file(tmp_path, DEFAULT + MANDATE + APPROVAL)).policies
    assert given.mandate == MandatePolicy(
        amount=Decimal(2_500), symbols=("BTC*", "ETH*"), expires=datetime(2026, 12, 31, tzinfo=UTC)
    )
    assert given.mandate.expires_ms == 1_798_675_200_000
    assert given.approval == ApprovalPolicy(above_notional=Decimal(1_000), modes=(Mode.DEMO, Mode.LIVE), answer_s=900)
    told = dict(limits_in_force(given))
    assert told["mandate.expires"] == "2026-12-31T00:00:00Z"
    assert told["approval.modes"] == "demo live"


def test_policy_time_in_another_time_zone_is_shown_in_utc(tmp_path: Path) -> None:
    text = DEFAULT + MANDATE.replace("2026-12-31T00:00:00Z", "2026-12-31T02:00:00+02:00")
    given = load_policies(policy_file(tmp_path, text)).policies
    assert dict(limits_in_force(given))["mandate.expires"] == "2026-12-31T00:00:00Z"


MOMENT = "expected a time with its zone, such as 2026-12-31T00:00:00Z; write it without quotes"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2026-12-31T00:00:00Z", "2026-12-31T00:00:00", f"mandate.expires is 2026-12-31T00:00:00; {MOMENT}"),
        ("2026-12-31T00:00:00Z", "2026-12-31", f"mandate.expires is 2026-12-31; {MOMENT}"),
        ("2026-12-31T00:00:00Z", "12:00:00", f"mandate.expires is 12:00:00; {MOMENT}"),
        ("2026-12-31T00:00:00Z", '"2026-12-31T00:00:00Z"', f"mandate.expires is '2026-12-31T00:00:00Z'; {MOMENT}"),
        ("2026-12-31T00:00:00Z", "1798675200", f"mandate.expires is 1798675200; {MOMENT}"),
        ("2026-12-31T00:00:00Z", "true", f"mandate.expires is true; {MOMENT}"),
        ("expires = 2026-12-31T00:00:00Z", "", "mandate.expires is missing; expected a value"),
        ("amount = 2500", 'amount = "2500"', "mandate.amount is '2500'; expected a number; write it without quotes"),
        ("amount = 2500", "amount = nan", "mandate.amount is NaN; expected a finite number"),
        ("amount = 2500", "amount = 0", "mandate.amount is 0; expected more than 0"),
        ("amount = 2500", "amuont = 2500", "mandate.amuont is unknown; did you mean amount?"),
        ("amount = 2500", "amount = 2500\nzzz = 1", "mandate.zzz is unknown; expected one of amount, symbols, expires"),
        ('["BTC*", "ETH*"]', "[]", "mandate.symbols is a list; expected at least 1 entry"),
        ("[mandate]", "[mandat]", "[mandat] is unknown; did you mean mandate?"),
        ("above_notional = 1000", "above_notional = -1", "approval.above_notional is -1; expected 0 or more"),
        ("above_notional = 1000", "above_notional = true", "approval.above_notional is true; expected a number"),
        ('"demo", "live"', '"demo", "play"', "approval.modes.1 is 'play'; expected 'paper', 'demo' or 'live'"),
    ],
)
def test_fault_in_an_optional_table_gives_one_sentence(tmp_path: Path, old: str, new: str, says: str) -> None:
    tables = MANDATE + APPROVAL
    assert old in tables
    text = complaint(tmp_path, DEFAULT + tables.replace(old, new, 1))
    assert says in text
    assert "\n" not in text


NUMBER = "expected a number; write it without quotes"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("outlier_sigmas = { 5m = true }", f"gate.outlier_sigmas.5m is true; {NUMBER}"),
        ('outlier_sigmas = { 5m = "4" }', f"gate.outlier_sigmas.5m is '4'; {NUMBER}"),
        ("outlier_moves = { 5m = nan }", "gate.outlier_moves.5m is NaN; expected a finite number; write one"),
        ("outlier_moves = 3", "gate.outlier_moves is 3; expected a table, such as { 15m = 4 }; correct it"),
        ("outlier_readings = { liquidations = 1e-300 }", "gate.outlier_readings.liquidations is too large or"),
    ],
)
def test_fault_in_a_table_of_sizes_is_one_sentence(tmp_path: Path, line: str, says: str) -> None:
    text = complaint(tmp_path, f'name = "mine"\nextends = "default"\n[gate]\n{line}\n')
    assert text.startswith(says)
    assert "\n" not in text


def test_all_problems_of_a_policy_file_are_listed_together(tmp_path: Path) -> None:
    data = values()
    data["order"] = {"max_notionl": "5000", "price_allowance": "nan"}
    data["stop"]["deadline_s"] = "0"
    del data["data"]
    text = complaint(tmp_path, written(data))
    assert text.startswith("3 problems\n")
    for named in ("order.max_notionl", "order.price_allowance", "stop.deadline_s"):
        assert named in text


@given(text=st.text(max_size=200), at=st.integers(0, len(DEFAULT)))
@examples(40, slow=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_in_a_policy_file_crashes_the_loader(tmp_path: Path, text: str, at: int) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes((DEFAULT[:at] + text + DEFAULT[at:]).encode("utf-8", "surrogatepass"))
    try:
        assert load_policies(path).policies.name
    except SettingsError:
        return


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("defalt", "there is no policy 'defalt' in {folder}; expected one of default, strict; did you mean default?"),
        ("../default", "there is no policy '../default'"),
        ("default.toml", "did you mean default?"),
    ],
)
def test_unknown_policy_name_error_lists_known_names(tmp_path: Path, name: str, says: str) -> None:
    for one in ("default", "strict"):
        (tmp_path / f"{one}.toml").write_text(DEFAULT, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_policies(tmp_path, name)
    assert says.format(folder=tmp_path) in str(caught.value)


def test_unreadable_policy_folder_or_file_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "default.toml").mkdir()
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"default\.toml cannot be read"):
        load_policies(tmp_path)
    with pytest.raises(SettingsError, match=r"odd\.toml is not text in UTF-8"):
        load_policies(tmp_path, "odd")
    with pytest.raises(SettingsError, match=r"expected at least one \.toml file there"):
        load_policies(tmp_path / "empty")
    with pytest.raises(SettingsError, match="no policies can be read from"):
        load_policies(tmp_path / "nowhere")


def test_the_shipped_prompts_load() -> None:
    loaded = load_prompts(None)
    assert "README" not in loaded.texts
    assert len(loaded.hash) == 64


def test_all_markdown_files_except_the_readme_are_prompts(tmp_path: Path) -> None:
    for name in ("README.md", "system.md", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode() + b"\r\n")
    before = load_prompts(tmp_path)
    assert before.texts == {"system": "system.md\n"}
    (tmp_path / "README.md").write_text("else")
    assert load_prompts(tmp_path) == before
    (tmp_path / "system.md").rename(tmp_path / "other.md")
    assert load_prompts(tmp_path).hash != before.hash


def test_unreadable_prompts_give_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no prompts can be read from"):
        load_prompts(tmp_path / "nowhere")
    (tmp_path / "system.md").mkdir()
    with pytest.raises(SettingsError, match=r"system\.md cannot be read"):
        load_prompts(tmp_path)
