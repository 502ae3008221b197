"""The shows of the README: an exchange of the sandbox and a demo book on it, in processes of their own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.request import urlopen

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from ocw_mcp.adapters.control.address import read_address

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
"""The directory of README.md."""
PORT = "18080"
"""The port of the README, which is replaced by a free one."""
SHOW = "Demo trading without an account"
WAIT_S = 90.0


def shown() -> list[list[str]]:
    """Return the arguments of the commands of the show, in order, without `ocw`."""
    part = (ROOT / "README.md").read_text().split(f"## {SHOW}\n", 1)[1].split("\n## ", 1)[0]
    lines = "\n".join(re.findall(r"```\n(.*?)```", part, re.DOTALL)).splitlines()
    commands = [line.split("#")[0].split() for line in lines if ".venv/bin/ocw " in line]
    return [words[words.index(".venv/bin/ocw") + 1 :] for words in commands]


def until(check: Any) -> Any:
    """Return the first true result of a check, which is made at most WAIT_S / 0.2 times."""
    for _ in range(round(WAIT_S / 0.2)):
        if found := check():
            return found
        Event().wait(0.2)  # another process works
    raise AssertionError("waited in vain")


class Desk:
    """A directory in which the commands of the show are run."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory, self.address = directory, address
        self.environment = {**os.environ, "BINANCE_LOOPBACK": address}

    def command(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "ocw_mcp", *words]

    def ocw(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.command(list(words)),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        with (self.directory / "run.out").open("a") as output:
            return subprocess.Popen(
                self.command(words), cwd=self.directory, env=self.environment, stdout=output, stderr=output, text=True
            )

    def account(self) -> dict[str, Any]:
        """Return positions, stops and entries at the exchange."""
        with urlopen(f"{self.address}/sandbox/account") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def held(self) -> dict[str, float]:
        return {each["symbol"]: float(each["positionAmt"]) for each in self.account()["positions"]}

    async def call(self, *calls: tuple[str, dict[str, Any]]) -> list[str]:
        """Return the answers to some tool calls, over `ocw mcp` as Claude Desktop starts it."""
        words = self.command(["mcp", "--state", "demobook"])
        server = StdioServerParameters(command=words[0], args=words[1:], env=self.environment, cwd=self.directory)
        answers = []
        async with Client(stdio_client(server)) as client:
            for name, arguments in calls:
                while True:
                    answered = await client.call_tool(name, arguments)
                    block = answered.content[0]
                    assert block.type == "text"
                    if not block.text.startswith("WARMING_UP: "):
                        break
                    await asyncio.sleep(0.5)  # noqa: TID251 - the engine, another process, reads history
                assert not answered.is_error, block.text
                answers.append(block.text)
        return answers


@contextmanager
def exchange(directory: Path, words: list[str]) -> Iterator[Desk]:
    """Run `ocw sandbox binance` as the README does, but on a free port."""
    words = [word if word != PORT else "0" for word in words]
    with subprocess.Popen(
        [sys.executable, "-m", "ocw_mcp", *words],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield Desk(directory, server.stdout.readline().strip())
        finally:
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=30)
            assert "Traceback" not in said, said


def served(desk: Desk) -> Any:
    """Return whether the engine of the book takes calls."""
    return until(lambda: read_address(desk.directory / "demobook"))


async def test_readme_show_trades_is_killed_and_goes_on(tmp_path: Path) -> None:
    sandbox, connect, run, *rest = shown()
    assert [each[0] for each in rest] == ["status", "flatten"]
    with exchange(tmp_path, sandbox) as desk:
        assert "0 problem(s)" in desk.ocw(*connect)
        engine = desk.start(run)
        try:
            served(desk)
            await _trade(desk, "ETHUSDT", "one")
            assert set(desk.held()) == {"ETHUSDT"}
            engine.kill()
            engine.wait()
            (desk.directory / "demobook" / "serve.json").unlink(missing_ok=True)
            (stop,) = desk.account()["algoOrders"]
            assert stop["closePosition"]
            engine = desk.start(run)
            served(desk)
            until(lambda: "engine running" in desk.ocw(*rest[0]))
            (answer,) = await desk.call(("positions_get", {}))
            assert f"stop {float(stop['triggerPrice']):g}" in answer
            (again,) = desk.account()["algoOrders"]
            assert again["clientAlgoId"] == stop["clientAlgoId"]
            await _protect_and_close(desk, float(stop["triggerPrice"]))
            await _trade(desk, "BTCUSDT", "four")
            desk.ocw(*rest[1])
            until(lambda: not desk.held() and not desk.account()["algoOrders"])
        finally:
            engine.send_signal(signal.SIGINT)
            engine.wait(timeout=60)
        assert "consistent" in desk.ocw("journal", "verify", "--state", "demobook")
        said = (desk.directory / "run.out").read_text()
        assert "Traceback" not in said, said
        assert "closed    ETHUSDT" in said
        assert "closed    BTCUSDT" in said


async def _protect_and_close(desk: Desk, trigger: float) -> None:
    """Tighten the stop of the position, which the first one stays beside, and then close the position."""
    tighter = round(trigger * 1.01, 1)
    await desk.call(("positions_set_protection", {"symbol": "ETHUSDT", "stop": tighter, "key": "two"}))
    until(lambda: len(desk.account()["algoOrders"]) == 2)
    stops = sorted(float(each["triggerPrice"]) for each in desk.account()["algoOrders"])
    assert stops == pytest.approx([trigger, tighter])
    await desk.call(("positions_close", {"symbol": "ETHUSDT", "key": "three", "rationale": "the show"}))
    until(lambda: not desk.held() and not desk.account()["algoOrders"])


async def _trade(desk: Desk, symbol: str, key: str) -> None:
    """Open a position of 5 % of equity, and wait for its stop at the exchange."""
    (seen,) = await desk.call(("market_get_snapshot", {"symbol": symbol}))
    price = re.search(rf"{symbol} price ([\d.]+)", seen)
    assert price is not None, seen
    last = float(price[1])
    asked = {"symbol": symbol, "action": "BUY", "size": 0.05, "stop": round(last * 0.97, 1)}
    (preview,) = await desk.call(("orders_preview", asked))
    name = re.search(r"preview_id (\w+)", preview)
    assert name is not None, preview
    placed = {"preview_id": name[1], "key": key, "rationale": "the show"}
    (answer,) = await desk.call(("orders_place", placed))
    assert answer.splitlines()[1].startswith("placed: ")
    until(lambda: desk.held() and desk.account()["algoOrders"])
