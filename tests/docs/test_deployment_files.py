"""`Dockerfile`, `fly.toml` and `.dockerignore` agree with each other and with the engine."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.docs.test_documentation import unknown_part
from tests.support.facades import FacadeRun
from tests.support.served import served
from tools.packaging import BUNDLED

ROOT = Path(__file__).resolve().parents[2]
FLY: dict[str, Any] = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
DOCKER = re.sub(r" *\\\n *", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
SERVICE = FLY["http_service"]
(CHECK,) = SERVICE["checks"]
SHORTEST_STOP_S = 30


def instruction(name: str) -> str:
    """Return the arguments of the last such instruction of the Dockerfile."""
    found: list[str] = re.findall(rf"^{name} +(.+)$", DOCKER, flags=re.MULTILINE)
    return found[-1]


def command() -> list[str]:
    arguments: list[str] = json.loads(instruction("CMD"))
    return arguments


def option(name: str) -> str:
    return command()[command().index(name) + 1]


def test_docker_image_starts_a_valid_paper_run() -> None:
    assert command()[:2] == ["ocw", "run"]
    assert unknown_part(command()[1:]) is None
    assert option("--market") == "sim"


def test_engine_listens_on_the_port_of_fly_and_docker() -> None:
    host, _, port = option("--serve").rpartition(":")
    assert host == "0.0.0.0"
    assert int(port) == SERVICE["internal_port"] == int(instruction("EXPOSE"))


def test_deployed_book_is_kept_on_the_mounted_volume() -> None:
    (mount,) = [FLY["mounts"]] if isinstance(FLY["mounts"], dict) else FLY["mounts"]
    state = dict(each.split("=") for each in instruction("ENV").split())["OCW_STATE"]
    assert Path(state).is_relative_to(mount["destination"])
    assert Path(state) != Path(mount["destination"]), "the root of a volume has other files and another owner"
    assert instruction("VOLUME") == mount["destination"]


def test_fly_sends_sigterm_and_waits_for_a_clean_stop() -> None:
    assert FLY["kill_signal"] == instruction("STOPSIGNAL") == "SIGTERM"
    assert FLY["kill_timeout"] >= SHORTEST_STOP_S


def test_fly_never_stops_an_idle_machine() -> None:
    assert SERVICE["auto_stop_machines"] == "off"
    assert SERVICE["min_machines_running"] == 1
    assert FLY["restart"] == [{"policy": "always"}]


def test_image_runs_as_a_user_without_privileges() -> None:
    assert instruction("USER") not in ("root", "0")
    assert re.search(rf"useradd --uid \d+ .*{instruction('USER')} ", DOCKER)
    assert DOCKER.index("\nUSER ") < DOCKER.index("\nCMD ")


def test_image_installs_packages_only_with_hash_checks() -> None:
    installs = re.findall(r"pip install ([^&\n]+)", DOCKER)
    assert installs
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)


def test_no_secret_is_in_a_deployment_file() -> None:
    assert set(FLY["env"]) == {"SERVE_HOSTS"}
    assert not re.search(r"_KEY|TOKEN|SECRET|PASS", instruction("ENV"))


def test_docker_build_gets_only_the_files_that_the_image_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    assert ".env" not in allowed
    assert {*BUNDLED, "tools"} <= {*allowed}


@pytest.fixture
def looked(tmp_path: Path) -> FacadeRun:
    found = FacadeRun(tmp_path / "book")
    asyncio.run(found.go(1))
    return found


def test_fly_health_check_is_accepted_by_the_host_check(looked: FacadeRun, tmp_path: Path) -> None:
    """The checker asks by an address; the header of `fly.toml` makes it a name that the engine knows."""
    hosts = tuple(FLY["env"]["SERVE_HOSTS"].split(","))
    assert f"{FLY['app']}.fly.dev" in hosts

    async def statuses() -> list[int]:
        async with served(looked.facade, tmp_path, hosts=hosts) as there, httpx2.AsyncClient() as client:
            url = f"http://127.0.0.1:{there.port}{CHECK['path']}"
            asked = (CHECK["headers"], {"Host": hosts[0]}, {"Host": "172.19.0.2:8080"})
            return [(await client.request(CHECK["method"], url, headers=headers)).status_code for headers in asked]

    assert asyncio.run(statuses()) == [200, 200, 421]
    looked.store.close()
