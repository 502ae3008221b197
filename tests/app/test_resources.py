"""Shipped files are found in a wheel and in a checkout, and `ocw init` writes an `.env` for its owner only."""

from pathlib import Path

import pytest

from ocw_mcp.app.resources import ENV_EXAMPLE, shipped, write_env_example
from ocw_mcp.domain.errors import SettingsError


@pytest.mark.parametrize("name", ["policies/default.toml", "prompts/README.md", ENV_EXAMPLE])
def test_shipped_files_are_found(name: str) -> None:
    assert shipped(name).is_file()


def test_shipped_file_of_a_wheel_is_preferred_to_that_of_a_checkout(tmp_path: Path) -> None:
    inside = tmp_path / "ocw_mcp" / "shipped" / "policies"
    inside.mkdir(parents=True)
    (tmp_path / "policies").mkdir()
    (tmp_path / "pyproject.toml").touch()
    assert shipped("policies", tmp_path / "ocw_mcp") == inside


def test_policies_folder_beside_an_installed_package_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    with pytest.raises(SettingsError, match="lacks policies"):
        shipped("policies", tmp_path / "ocw_mcp")


def test_env_file_from_the_example_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    state = tmp_path / "a" / "book"
    written = write_env_example(state)
    assert written == state / ".env"
    assert written.read_bytes() == shipped(ENV_EXAMPLE).read_bytes()
    assert written.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert list(state.iterdir()) == [written]


def test_example_does_not_replace_an_existing_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FRED_API_KEY=mine\n")
    with pytest.raises(SettingsError, match="exists already"):
        write_env_example(tmp_path)
    assert (tmp_path / ".env").read_text() == "FRED_API_KEY=mine\n"
    assert list(tmp_path.iterdir()) == [tmp_path / ".env"]


def test_example_does_not_replace_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="exists already"):
        write_env_example(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("below", ["", "book"])
def test_unwritable_directory_is_refused_in_one_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"no \.env can be written into") as caught:
        write_env_example(tmp_path / "file" / below)
    assert "\n" not in str(caught.value)
