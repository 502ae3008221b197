"""The OpenAPI document: complete, and true to what the server answers."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from ocw_mcp.interfaces.auth import ROUTES
from tests.support.examples import examples
from tests.support.facades import FacadeRun
from tests.support.http_api import EXAMPLES, HOURS, PAGE, answered, api, table


class Server:
    """The API over a finished run, with its document."""

    def __init__(self, directory: Path) -> None:
        self._runner = asyncio.Runner()
        self.run = self._runner.run(FacadeRun(directory / "book").go(HOURS))
        self._api = api(lambda: self.run.facade, directory, raise_app_exceptions=True)
        self.client: httpx2.AsyncClient = self._runner.run(self._api.__aenter__())
        self.document: dict[str, Any] = self.get("/openapi.json").json()

    def get(self, path: str) -> httpx2.Response:
        return self._runner.run(self.client.get(path))

    def examples(self) -> dict[str, dict[str, Any]]:
        return self._runner.run(answered(self.client))

    def close(self) -> None:
        self._runner.run(self._api.__aexit__(None, None, None))
        self.run.store.close()
        self._runner.close()

    def operation(self, route: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document["paths"][route]["get"]
        return found

    def faults(self, route: str, answer: httpx2.Response) -> list[str]:
        """Return how an answer differs from its documented schema."""
        responses = self.operation(route)["responses"]
        assert str(answer.status_code) in responses, f"{route}: {answer.status_code} is not documented"
        schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
        whole = schema | {"components": self.document["components"]}
        return [each.message for each in Draft202012Validator(whole).iter_errors(answer.json())]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("http"))
    yield found
    found.close()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, each) for path, methods in document["paths"].items() for each in methods.values()]


def test_document_has_every_route_and_each_only_reads(server: Server) -> None:
    assert {*server.document["paths"], "/mcp"} == set(ROUTES)
    assert all([*methods] == ["get"] for methods in server.document["paths"].values())
    assert server.document["openapi"].startswith("3.1")


def test_each_operation_parameter_and_schema_is_described(server: Server) -> None:
    undescribed = []
    for path, each in operations(server.document):
        undescribed += [] if each["description"] else [path]
        undescribed += [f"{path} {p['name']}" for p in each.get("parameters", ()) if not p.get("description")]
    schemas = server.document["components"]["schemas"]
    undescribed += [name for name, schema in schemas.items() if not schema.get("description")]
    assert undescribed == []
    names = [each["operationId"] for _, each in operations(server.document)]
    assert len(names) == len(set(names))


def test_each_route_but_health_documents_its_token_and_errors(server: Server) -> None:
    for path, each in operations(server.document):
        if path == "/health":
            assert each["security"] == []
            continue
        assert each["security"] == [{"token": []}]
        assert {"200", "400", "401", "403", "404", "421", "503", "default"} == set(each["responses"])
        for status, response in each["responses"].items():
            if status != "200":
                assert response["content"]["application/json"]["schema"]["$ref"].endswith("/Refused"), (path, status)


def test_each_limit_of_a_page_is_bounded_in_the_document(server: Server) -> None:
    limits = [
        parameter["schema"]
        for _, each in operations(server.document)
        for parameter in each.get("parameters", ())
        if parameter["name"] == "limit"
    ]
    assert len(limits) == 6
    assert all(each["minimum"] == 1 and each["maximum"] in (100, 500) and each["default"] >= 1 for each in limits)


def test_each_documented_example_is_what_the_server_answers(server: Server) -> None:
    stored = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    assert server.examples() == stored, "the answers changed: run python -m tests.support.http_api"
    for path, by_status in stored.items():
        for status, example in by_status.items():
            content = server.operation(path)["responses"][status]["content"]["application/json"]
            assert content["examples"]["example"]["value"] == example["answer"]
    assert set(stored) == set(server.document["paths"]) - {"/metrics"}


def test_documentation_page_has_the_table_of_all_routes(server: Server) -> None:
    assert table(server.document) in PAGE.read_text(encoding="utf-8"), "run python -m tests.support.http_api"


def test_each_example_fits_its_documented_schema(server: Server) -> None:
    for path, by_status in json.loads(EXAMPLES.read_text(encoding="utf-8")).items():
        answer = server.get(by_status["200"]["request"])
        assert server.faults(path, answer) == [], path


TEXTS = st.one_of(
    st.sampled_from(["", "BTCUSDT", "ethusdt", "1h", "4h", "1m", "won", "live", "true", "0", "-1", "1e9", "١", "2_0"]),
    st.sampled_from(["trades:1", "orders:99999999999999999", "decisions:-1", "candles:0", "equity:1767312000000"]),
    st.sampled_from(["2026-01-01", "2026-02-30", "9999-12-31", "0001-01-01"]),
    st.text(max_size=12),
    st.integers().map(str),
)


@examples(40, slow=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_query_gets_a_documented_answer(server: Server, data: st.DataObject) -> None:
    """Nothing a caller sends breaks a route: each answer has a documented status and fits the schema of it."""
    route = data.draw(st.sampled_from(sorted(set(server.document["paths"]) - {"/metrics", "/health"})))
    path, query = route, []
    for parameter in server.operation(route).get("parameters", ()):
        text = data.draw(st.none() | TEXTS, label=parameter["name"])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(text or "1", safe="") or "1")
        elif text is not None:
            query.append(f"{parameter['name']}={quote(text, safe='')}")
    answer = server.get(f"{path}?{'&'.join(query)}")
    if answer.status_code == 307:
        return
    assert answer.status_code in (200, 400, 404), answer.text
    assert server.faults(route, answer) == []
    if answer.status_code != 200:
        assert " limit=" in answer.json()["error"]
        assert " next: " in answer.json()["error"]
