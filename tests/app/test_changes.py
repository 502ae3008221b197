"""Changed agent, policies or prompts are reported at the start, and refused after an interrupted run."""

from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.time import HOUR
from tests.support.shell import Ocw
from tests.support.stores import Crash

RUN = ("run", "--market", "sim", "--interval", "15m")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def test_changes_since_the_last_run_are_reported_in_one_line(ocw: Ocw, tmp_path: Path) -> None:
    default, lab = load_policies(None).hash[:12], load_policies(None, "lab").hash[:12]
    assert ocw(*RUN, "--for", "6h", "--state", tmp_path).err == ""
    assert ocw(*RUN, "--for", "7h", "--state", tmp_path).err == ""
    assert f"agent rules · policy default ({default})" in ocw("status", "--state", tmp_path).out
    other = ocw(*RUN, "--for", "8h", "--policy", "lab", "--agent", "none", "--state", tmp_path)
    assert other.code == 0
    assert (
        f"this book ran with agent rules, policy default ({default}) until now; from now on with agent none, "
        f"policy lab ({lab})\n" in other.err
    )
    assert f"agent none · policy lab ({lab})" in ocw("status", "--state", tmp_path).out


def test_changed_prompts_are_reported_at_the_start(ocw: Ocw, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.md").write_text("Decide.")
    ocw(*RUN, "--for", "6h", "--state", tmp_path / "book")
    said = ocw(*RUN, "--for", "7h", "--state", tmp_path / "book", "--prompts", tmp_path / "prompts")
    assert f"from now on with prompts {load_prompts(tmp_path / 'prompts').hash[:12]}\n" in said.err


def test_interrupted_run_is_resumed_only_without_changes(ocw: Ocw, tmp_path: Path) -> None:
    def breaks_off(at: int, event: DomainEvent) -> None:
        if at > began + 12 * HOUR:
            raise Crash

    feed = SimulatedFeed(1, step=15 * 60_000)
    began = 1_767_225_600_000
    with pytest.raises(Crash):
        run(Job(feed, "rules", load_policies(None), load_prompts(None), None, tmp_path), breaks_off)
    said = ocw(*RUN, "--for", "2d", "--policy", "lab", "--agent", "none", "--state", tmp_path)
    assert said.code == 2
    assert "the last run of this book was interrupted" in said.err
    assert "it ran with agent rules, policy default (" in said.err
    assert "this start has agent none, policy lab (" in said.err
    assert "start it with the old options, stop it with Ctrl-C" in said.err
    assert ocw(*RUN, "--for", "2d", "--state", tmp_path).code == 0
    assert ocw(*RUN, "--for", "3d", "--agent", "none", "--state", tmp_path).code == 0
