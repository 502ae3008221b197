"""The systems on which OCW runs, and the error on any other."""

import sys

import pytest

from tests.support.shell import Ocw


@pytest.mark.parametrize("arguments", [("run", "--market", "sim"), ("mcp",), ("passphrase", "set"), ("--help",)])
def test_unsupported_system_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    said = Ocw(monkeypatch, capsys)(*arguments)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "WSL" in said.err
    assert "Linux" in said.err
