"""`ocw run --serve` and `ocw token`: addresses, tokens, and the files of a served book."""

import asyncio
import logging
import os
import re
import socket
import stat
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from ocw_mcp.adapters.control.address import ADDRESS, read_address
from ocw_mcp.adapters.control.tokens import TOKENS
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.compose import WiredRun, stamp
from ocw_mcp.app.parsing import ListenAddress, parse_listen_address
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.serve import facade_of, serve_engine
from ocw_mcp.domain.errors import SettingsError
from tests.support.runs import Commands
from tests.support.served import bearer
from tests.support.shell import Ocw


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("text", "door"),
    [
        ("127.0.0.1:8080", ListenAddress("127.0.0.1", 8080)),
        ("localhost:0", ListenAddress("127.0.0.1", 0)),
        ("8081", ListenAddress("127.0.0.1", 8081)),
        ("[::1]:9", ListenAddress("::1", 9)),
    ],
)
def test_loopback_address_needs_no_host_names(text: str, door: ListenAddress) -> None:
    assert parse_listen_address(text, ()) == door


@pytest.mark.parametrize("text", ["", "8080x", "127.0.0.1:", "127.0.0.1:99999", "evil.example:80", "1.2.3:80", ":80"])
def test_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected an address and a port such as 127\.0\.0\.1:8080"):
        parse_listen_address(text, ())


@pytest.mark.parametrize("text", ["0.0.0.0:8080", "192.168.0.7:80", "[::]:80"])
def test_serving_other_machines_needs_host_names(text: str) -> None:
    with pytest.raises(SettingsError, match="set SERVE_HOSTS to the host names"):
        parse_listen_address(text, ())
    assert parse_listen_address(text, ("desk.example.org",)).hosts == ("desk.example.org",)


def test_run_with_invalid_host_names_in_serve_hosts_is_refused(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_HOSTS", "desk.example.org, http://x")
    said = ocw("run", "--market", "sim", "--interval", "15m", "--for", "1h", "--serve", "0.0.0.0:0")
    assert said.code == 2
    assert "SERVE_HOSTS (from the environment) has 'http://x', which is not a host name" in said.err


def test_a_port_that_is_taken_is_refused_before_anything_runs(ocw: Ocw, tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = ocw(
            "run",
            "--market",
            "sim",
            "--interval",
            "15m",
            "--for",
            "1h",
            "--serve",
            str(port),
            "--state",
            tmp_path / "desk",
        )
    assert said.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in said.err


def test_a_token_is_shown_once_and_only_its_hash_is_kept(ocw: Ocw, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    refused = ocw("token", "new", "--state", desk)
    assert refused.code == 2
    assert f"make one first: ocw init --state {desk}" in refused.err
    assert not desk.exists()
    desk.mkdir()
    said = ocw("token", "new", "--state", desk, "--scope", "read")
    token = said.out.strip()
    assert token.startswith("ocw_")
    assert len(token) == 47
    assert stat.S_IMODE((desk / TOKENS).stat().st_mode) == 0o600
    assert token not in (desk / TOKENS).read_text()
    listed = ocw("token", "list", "--state", desk)
    assert "read-1" in listed.out
    assert token not in listed.out
    assert ocw("token", "revoke", "read-1", "--state", desk).out == "token read-1 is revoked\n"
    assert "there is no token" in ocw("token", "list", "--state", desk).out


def test_invalid_token_command_is_refused_in_one_sentence(ocw: Ocw, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    assert "expected one of read, trade, operate" in ocw("token", "new", "--state", desk, "--scope", "all").err
    assert "--name is 'A B'" in ocw("token", "new", "--state", desk, "--name", "A B").err
    ocw("token", "new", "--state", desk, "--name", "me")
    assert "there is a token 'me' already" in ocw("token", "new", "--state", desk, "--name", "me").err
    assert "there is no token 'you'; existing tokens: me" in ocw("token", "revoke", "you", "--state", desk).err
    (desk / TOKENS).chmod(0o640)
    assert "chmod 600" in ocw("token", "list", "--state", desk).err
    (desk / TOKENS).chmod(0o600)
    (desk / TOKENS).write_text("{}")
    assert "holds no tokens of ocw" in ocw("token", "list", "--state", desk).err


def test_run_makes_a_book_in_a_directory_that_has_only_a_token(ocw: Ocw, tmp_path: Path) -> None:
    ocw("token", "new", "--state", tmp_path)
    assert ocw("run", "--market", "sim", "--for", "1h", "--interval", "1h", "--state", tmp_path, "--json").code == 0


def a_book(directory: Path) -> WiredRun:
    feed = SimulatedFeed(1, warmup_days=0)
    store = SqliteStore.open(directory, stamp(feed), book_id="serve0", created_at=0)
    return WiredRun(feed, "rules", load_policies(None), load_prompts(None), store, Commands())


def test_serving_a_temporary_book_prints_the_token_command(ocw: Ocw) -> None:
    said = ocw("run", "--market", "sim", "--for", "1h", "--interval", "15m", "--serve", "0")
    assert re.search(r"; to make a token: ocw token new --state /\S+/ocw-\w+\n", said.err)


async def test_served_engine_writes_its_address_and_removes_it_at_the_end(tmp_path: Path) -> None:
    book = a_book(tmp_path)
    async with serve_engine(ListenAddress("127.0.0.1", 0), facade_of(book, tmp_path), tmp_path):
        address = read_address(tmp_path)
        assert address is not None
        assert stat.S_IMODE((tmp_path / ADDRESS).stat().st_mode) == 0o600
        assert address.pid == os.getpid()
        assert address.token not in repr(address)
        async with httpx2.AsyncClient(base_url=address.url, headers=bearer(address.token)) as client:
            assert (await client.get("/status")).json()["engine"]["book"] == "serve0"
    assert read_address(tmp_path) is None
    book.store.close()


async def test_served_engine_puts_no_secret_in_answers_logs_or_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The secrets are a key in the environment, and the printed tokens."""
    canaries = {"canaryBINANCEkey0001", "canaryANTHROPICkey02"}
    monkeypatch.setenv("BINANCE_API_KEY", "canaryBINANCEkey0001")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canaryANTHROPICkey02")
    caplog.set_level(logging.DEBUG)
    book = a_book(tmp_path)
    said: list[str] = []
    async with serve_engine(ListenAddress("127.0.0.1", 0), facade_of(book, tmp_path), tmp_path):
        address = read_address(tmp_path)
        assert address is not None
        canaries |= {address.token, "ocw_canaryWRONGtoken"}
        run = asyncio.ensure_future(book.run.run("1", 3_600_000))
        async with httpx2.AsyncClient(base_url=address.url) as client:
            for token in (address.token, "ocw_canaryWRONGtoken"):
                for path in ("/health", "/status", "/metrics", "/docs", "/mcp", "/nothing"):
                    for method in ("GET", "POST"):
                        answered = await client.request(method, path, headers=bearer(token), content=b"{broken")
                        said.append(f"{answered.text} {answered.headers}")
        await run
    book.store.close()
    said.append(caplog.text)
    said += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert [canary for canary in canaries if any(canary in each for each in said)] == []
