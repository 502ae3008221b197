"""The Python blocks of each page of the documentation run, one after the other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.control.address import Address, write_address
from tests.support.serving import Engine, Serving

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    serving = Serving(tmp_path_factory.mktemp("served"))
    yield serving.started()
    serving.stop()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_python_blocks_of_a_documentation_page_run(
    page: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "desk").mkdir()
    write_address(tmp_path / "desk", Address(engine.url, engine.trades, 0))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    assert re.search(r"^[0-9.]+ \d+ TradeRow$", capsys.readouterr().out, re.MULTILINE)
