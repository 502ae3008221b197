"""The command line, run in the process of the tests."""

import sys
from functools import cache
from typing import NamedTuple

import pytest
import typer.main

from ocw_mcp.app.cli import main

# Typer builds the tree of commands anew at each call, which takes longer than most commands.
typer.main.get_command = cache(typer.main.get_command)


class CommandResult(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


class Ocw:
    """Runs `ocw` with arguments, in an environment without settings of OCW."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.delenv("OCW_STATE", raising=False)

    def __call__(self, *arguments: object) -> CommandResult:
        self._monkeypatch.setattr(sys, "argv", ["ocw", *(str(each) for each in arguments)])
        self._capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
        out, err = self._capsys.readouterr()
        return CommandResult(code, out, err)
