"""Policy files that extend others, and files that lack keys: never looser than the strictest documented values."""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ocw_mcp.app.cli.commands import app
from ocw_mcp.app.markets import open_market
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts
from ocw_mcp.app.resources import shipped
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import Policies, looser_and_stricter, policy_keys, value_of
from ocw_mcp.domain.policy_table import OPTIONAL
from tests.support.examples import examples

SHIPPED = {name: load_policies(None, name).policies for name in ("default", "conservative", "lab")}
KEYS = {
    key: declared
    for key, declared in policy_keys()
    if not declared.is_required() and OPTIONAL not in declared.metadata and not key.startswith("approval.")
}
"""Every key with a strictest value, except those of [approval], which the shipped files lack."""


def toml(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)


def written(policies: Policies, without: AbstractSet[str] = frozenset()) -> str:
    """Return a policy file without some keys; a table that has no other key is left out."""
    lines = [f'name = "{policies.name}"']
    for table in dict.fromkeys(key.split(".")[0] for key in KEYS):
        keys = [key for key in KEYS if key.startswith(f"{table}.") and key not in without]
        lines += [f"[{table}]"] if keys else []
        lines += [f"{key.split('.')[1]} = {toml(value_of(policies, key))}" for key in keys]
    return "\n".join(lines)


def load(directory: Path, **files: str) -> LoadedPolicies:
    """Write files, and load the first one."""
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)
    return load_policies(directory, next(iter(files)))


def complaint(directory: Path, **files: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(directory, **files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_policy_file_with_all_keys_gives_no_remark(tmp_path: Path) -> None:
    whole = load(tmp_path, mine=written(SHIPPED["lab"]))
    assert whole.policies == SHIPPED["lab"]
    assert whole.remarks == ()
    assert set(whole.origins.values()) == {"mine.toml", OPTIONAL}


@pytest.mark.parametrize("key", KEYS)
def test_missing_policy_key_takes_its_strictest_value(tmp_path: Path, key: str) -> None:
    loaded = load(tmp_path, mine=written(SHIPPED["lab"], {key}))
    assert value_of(loaded.policies, key) == KEYS[key].default
    (remark,) = loaded.remarks
    assert remark.startswith(f"mine.toml lacks keys, and each has its strictest value: {key} ")
    assert loaded.origins[key] == "strictest value"


@given(st.sampled_from(sorted(SHIPPED)), st.sets(st.sampled_from(sorted(KEYS))))
@examples(12, slow=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_missing_keys_never_make_a_policy_looser(tmp_path: Path, name: str, missing: set[str]) -> None:
    loaded = load(tmp_path, mine=written(SHIPPED[name], missing))
    assert looser_and_stricter(loaded.policies, SHIPPED[name])[0] == []
    assert all(value_of(loaded.policies, key) == KEYS[key].default for key in missing)
    assert {key for key, origin in loaded.origins.items() if origin == "strictest value"} == missing
    assert all((f" {key} " in loaded.remarks[0]) == (key in missing) for key in KEYS) if missing else not loaded.remarks


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_policy_is_stricter_than_the_strictest_values(name: str) -> None:
    assert looser_and_stricter(Policies(name="bare"), SHIPPED[name])[0] == []


def test_missing_approval_keys_take_their_strictest_values(tmp_path: Path) -> None:
    loaded = load(tmp_path, mine='name = "mine"\nextends = "default"\n[approval]\nmodes = ["live"]\n')
    assert loaded.policies.approval is not None
    assert loaded.policies.approval.above_notional == 0
    assert loaded.policies.approval.answer_s == 60
    assert "approval.above_notional 0" in loaded.remarks[0]


def test_missing_leverage_max_key_caps_the_other_leverage_keys(tmp_path: Path) -> None:
    loaded = load(tmp_path, mine=written(SHIPPED["lab"], {"leverage.max"}))
    assert (loaded.policies.leverage.usual, loaded.policies.leverage.unasked) == (5, 2)


@pytest.mark.parametrize("text", ["", "[order]\nmax_notional = 5\n", 'extends = "default"\n'])
def test_policy_name_is_required_and_not_inherited(tmp_path: Path, text: str) -> None:
    assert "name is missing; expected a value" in complaint(tmp_path, mine=text)


def test_policy_hash_depends_on_the_values_of_missing_keys(tmp_path: Path) -> None:
    one = load(tmp_path, mine=written(SHIPPED["lab"], {"order.max_notional"}))
    other = load(tmp_path, mine=written(SHIPPED["lab"]))
    assert one.hash != other.hash


def test_extending_policy_file_changes_only_the_keys_that_it_sets(tmp_path: Path) -> None:
    loaded = load(tmp_path, mine='name = "mine"\nextends = "default"\n[order]\nmax_notional = 100\n')
    order = SHIPPED["default"].order.model_copy(update={"max_notional": loaded.policies.order.max_notional})
    assert loaded.policies == SHIPPED["default"].model_copy(update={"name": "mine", "order": order})
    assert str(loaded.policies.order.max_notional) == "100"
    assert loaded.origins["order.max_notional"] == "mine.toml"
    assert loaded.origins["order.price_allowance"] == "default.toml (shipped)"
    assert loaded.remarks == ()


def test_list_in_an_extending_policy_file_replaces_the_whole_list(tmp_path: Path) -> None:
    loaded = load(tmp_path, mine='name = "mine"\nextends = "default"\n[symbols]\nallow = ["BTC*"]\n')
    assert loaded.policies.symbols.allow == ("BTC*",)
    assert loaded.policies.symbols.sides == ("long", "short")


def test_policy_chain_has_at_most_three_files(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        mine='name = "mine"\nextends = "team"\n[order]\nmax_notional = 100\n',
        team='name = "team"\nextends = "default"\n[order]\nmax_notional = 200\nprice_allowance = 0.001\n',
    )
    assert (str(loaded.policies.order.max_notional), str(loaded.policies.order.price_allowance)) == ("100", "0.001")
    assert loaded.origins["order.price_allowance"] == "team.toml"
    assert complaint(tmp_path, more='name = "more"\nextends = "mine"\n').endswith(
        "extends too many: more.toml -> mine.toml -> team.toml -> default.toml; expected a chain of at most 3 files"
    )


def test_policy_hash_covers_the_text_of_every_file_in_the_chain(tmp_path: Path) -> None:
    mine, team = 'name = "mine"\nextends = "team"\n', 'name = "team"\nextends = "default"\n'
    before = load(tmp_path, mine=mine, team=team).hash
    assert load(tmp_path, mine=mine, team=team).hash == before
    assert load(tmp_path, mine=mine, team=f"{team}# a remark\n").hash != before
    assert load(tmp_path, mine=f"{mine}# a remark\n", team=team).hash != before


def test_policy_file_may_extend_the_shipped_policy_of_its_own_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, default='name = "default"\nextends = "default"\n[order]\nmax_notional = 100\n')
    assert loaded.origins["order.max_notional"] == "default.toml"
    assert loaded.origins["order.price_allowance"] == "default.toml (shipped)"


@pytest.mark.parametrize(
    ("mine", "says"),
    [
        (
            'extends = "other"',
            "extends in a circle: mine.toml -> other.toml -> mine.toml; let one of them",
        ),
        ('extends = "defalt"', "did you mean default?"),
        (
            'extends = "mine"',
            "or a shipped one: there is no policy 'mine'",
        ),
        ("extends = 1", "extends is 1; expected the name of a policy, of at most 40 characters and in quotes"),
        (f'extends = "{"x" * 300}"', "extends is a long text; expected the name of a policy"),
        ('extend = "default"', "extend is unknown; did you mean extends?"),
        ('[order]\nextends = "default"', "order.extends is unknown"),
        ('extends = "broken"', "order.max_notional is 0; expected more than 0; correct it (in broken.toml)"),
        (
            'extends = "broken"\n[order]\nmax_notional = -1',
            "order.max_notional is -1; expected more than 0",
        ),
        ('extends = "odd"', "[ordr] is unknown; did you mean order? (in odd.toml)"),
    ],
)
def test_invalid_policy_chain_is_refused_in_one_sentence(tmp_path: Path, mine: str, says: str) -> None:
    other = 'name = "other"\nextends = "mine"\n'
    broken = 'name = "broken"\nextends = "default"\n[order]\nmax_notional = 0\n'
    odd = 'name = "odd"\n[ordr]\nmax_notional = 1\n'
    assert says in complaint(tmp_path, mine=f'name = "mine"\n{mine}\n', other=other, broken=broken, odd=odd)


def test_missing_policy_name_is_reported_for_the_file_that_lacks_it(tmp_path: Path) -> None:
    text = complaint(tmp_path, mine='extends = "team"\n', team='name = "team"\nextends = "default"\n')
    assert text.startswith(f"{tmp_path / 'mine.toml'}: name is missing; ")
    assert "(in " not in text


def test_policy_for_tainted_entries_may_lack_keys(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        mine='name = "mine"\nextends = "default"\n[tainted]\npolicy = "careful"\n',
        careful='name = "careful"\n[order]\nmax_notional = 10\n',
    )
    assert loaded.strict.order.max_notional == 10
    assert loaded.strict.position == Policies(name="bare").position
    assert [remark.split()[0] for remark in loaded.remarks] == ["careful.toml"]


def test_run_prints_the_policy_keys_that_the_file_lacks_at_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load(tmp_path, mine=written(SHIPPED["default"], {"pace.max_fees", "data.slack_s"}))
    feed = open_market("sim", product=None, interval="15m", symbols=(), seed=1)
    run(Job(feed, "none", loaded, load_prompts(None), 60_000, None))
    output = "".join(capsys.readouterr())
    assert "mine.toml lacks keys, and each has its strictest value: pace.max_fees 0.002, data.slack_s 30;" in output


def test_policies_show_names_the_file_that_sets_each_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nextends = "default"\n[order]\nmax_notional = 100\n')

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["policies", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    shown = {line.split()[0]: line for line in said("show", "--policies", str(file)).splitlines() if line.split()}
    assert "mine.toml" in shown["order.max_notional"]
    assert "default.toml" in shown["stop.deadline_s"]
    file.write_text('name = "mine"\n')
    shown = {line.split()[0]: line for line in said("show", "--policies", str(file)).splitlines() if line.split()}
    assert "strictest value" in shown["stop.deadline_s"]
    assert "mine.toml lacks keys" in said("check", str(file))
    assert "from" not in said("show").splitlines()[1].split()


@pytest.mark.parametrize("name", ["conservative", "lab"])
def test_shipped_policy_sets_only_keys_that_differ_from_default(name: str) -> None:
    own = {key for key, origin in load_policies(None, name).origins.items() if origin == f"{name}.toml"}
    assert all(value_of(SHIPPED[name], key) != value_of(SHIPPED["default"], key) for key in own)
    assert (shipped("policies") / f"{name}.toml").read_text().count("extends") == 1
