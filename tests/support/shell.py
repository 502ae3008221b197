"""The command line, called in this process."""

import sys
from typing import NamedTuple

import pytest

from ocw_mcp.app.cli import main


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Ocw:
    """Calls `ocw` with arguments and an environment without any of our settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.delenv("OCW_STATE", raising=False)

    def __call__(self, *arguments: object) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["ocw", *(str(each) for each in arguments)])
        self._capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
        out, err = self._capsys.readouterr()
        return Said(code, out, err)
