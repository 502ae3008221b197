"""Keys are stored for one mode, product and host, are readable by their owner only, and are shown nowhere."""

import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control.keys import (
    KEYS,
    Connection,
    HostClass,
    Kept,
    checked_form,
    connections,
    find_connection,
    keep_key,
)
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode

KEY = ApiKey("canaryKEY" * 7, "canarySECRET" * 5)
OTHER = ApiKey("anotherKEY" * 6, "anotherSECRET" * 5)
DEMO = Connection(Mode.DEMO, Product.UM, HostClass.EXCHANGE, Kept.FILE, KEY.fingerprint, "acc0", 7)


def replaced(**changes: object) -> Connection:
    return msgspec.structs.replace(DEMO, **changes)


def test_stored_key_is_found_for_its_mode_product_and_host_only(tmp_path: Path) -> None:
    keep_key(tmp_path, DEMO, KEY)
    assert find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE) == (DEMO, KEY)
    for place in (
        (Mode.LIVE, Product.UM, HostClass.EXCHANGE),
        (Mode.DEMO, Product.SPOT, HostClass.EXCHANGE),
        (Mode.DEMO, Product.UM, HostClass.LOOPBACK),
    ):
        with pytest.raises(SettingsError, match=r"there is no key for .* run ocw connect"):
            find_connection(tmp_path, *place)


def test_another_key_replaces_only_the_one_of_the_same_place(tmp_path: Path) -> None:
    live = replaced(mode=Mode.LIVE, fingerprint=OTHER.fingerprint)
    keep_key(tmp_path, DEMO, KEY)
    keep_key(tmp_path, live, OTHER)
    keep_key(tmp_path, replaced(fingerprint=OTHER.fingerprint), OTHER)
    assert {each.mode: each.fingerprint for each in connections(tmp_path)} == {
        Mode.LIVE: OTHER.fingerprint,
        Mode.DEMO: OTHER.fingerprint,
    }
    assert KEY.key not in (tmp_path / KEYS).read_text()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_key_file_that_others_can_access_is_refused(tmp_path: Path, mode: int) -> None:
    keep_key(tmp_path, DEMO, KEY)
    assert (tmp_path / KEYS).stat().st_mode & 0o777 == 0o600
    (tmp_path / KEYS).chmod(mode)
    with pytest.raises(BookError, match="open to other users"):
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)


def test_key_file_that_is_a_link_or_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "desk").mkdir()
    keep_key(tmp_path, DEMO, KEY)
    (tmp_path / "desk" / KEYS).symlink_to(tmp_path / KEYS)
    with pytest.raises(BookError, match="cannot be read"):
        connections(tmp_path / "desk")
    owner = (tmp_path / KEYS).stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(BookError, match="belongs to user"):
        connections(tmp_path)


@pytest.mark.parametrize("text", ["[]x", "{}", '[{"connection": 1}]', "canaryKEY", '[{"key": "canaryKEY"}]'])
def test_broken_key_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / KEYS).write_text(text)
    (tmp_path / KEYS).chmod(0o600)
    with pytest.raises(BookError, match="holds no keys of ocw") as caught:
        connections(tmp_path)
    assert "canary" not in str(caught.value)


def test_key_of_the_environment_is_used_only_for_what_it_was_checked_for(tmp_path: Path) -> None:
    keep_key(tmp_path, replaced(kept=Kept.ENVIRONMENT), KEY)
    assert KEY.key not in (tmp_path / KEYS).read_text()
    assert KEY.secret not in (tmp_path / KEYS).read_text()
    assert find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE, KEY)[1] == KEY
    for mode, given in ((Mode.LIVE, KEY), (Mode.DEMO, OTHER)):
        with pytest.raises(SettingsError, match=f"was not checked for {mode} um at Binance"):
            find_connection(tmp_path, mode, Product.UM, HostClass.EXCHANGE, given)
    with pytest.raises(SettingsError, match="BINANCE_SECRET_KEY are not set now"):
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)


class FakeKeyring(ModuleType):
    """A keyring in memory."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def set_password(self, service: str, name: str, password: str) -> None:
        self.entries[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        if self.locked:
            raise RuntimeError(f"locked, with {KEY.secret}")
        del self.entries[service, name]

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise RuntimeError(f"locked, with {KEY.secret}")
        return self.entries.get((service, name))


def test_key_can_be_kept_in_the_keyring_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    keep_key(tmp_path, replaced(kept=Kept.KEYRING), KEY)
    assert KEY.key not in (tmp_path / KEYS).read_text()
    assert find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)[1] == KEY
    ((place, text),) = ring.entries.items()
    ring.entries[place] = text.replace(KEY.key, OTHER.key)
    with pytest.raises(SettingsError, match="another key than the one that was checked"):
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)
    ring.entries.clear()
    with pytest.raises(SettingsError, match="has no such key"):
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)
    ring.locked = True
    with pytest.raises(SettingsError, match=r"refused .RuntimeError.; unlock it") as caught:
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kept", [Kept.FILE, Kept.ENVIRONMENT])
def test_key_that_moves_out_of_the_keyring_is_deleted_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    ring = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    keep_key(tmp_path, replaced(kept=Kept.KEYRING), KEY)
    keep_key(tmp_path, replaced(kept=Kept.KEYRING, mode=Mode.LIVE), KEY)
    assert keep_key(tmp_path, replaced(kept=kept), KEY) == ""
    assert [name.split()[1] for _, name in ring.entries] == ["live"]
    ring.locked = True
    left = keep_key(tmp_path, replaced(kept=kept, mode=Mode.LIVE), KEY)
    assert "is still in the keyring of the system, as ocw-mcp, " in left
    assert "canary" not in left
    assert {each.kept for each in connections(tmp_path)} == {kept}


def test_key_in_the_file_that_is_not_the_checked_one_is_refused(tmp_path: Path) -> None:
    keep_key(tmp_path, replaced(fingerprint=OTHER.fingerprint), KEY)
    text = rf"keys.json has another key .* is {KEY.fingerprint}, expected {OTHER.fingerprint}; .* --new-key"
    with pytest.raises(SettingsError, match=text) as caught:
        find_connection(tmp_path, Mode.DEMO, Product.UM, HostClass.EXCHANGE)
    assert "canary" not in str(caught.value)


def test_keyring_that_is_not_installed_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SettingsError, match=r"ocw-mcp\[keyring\]"):
        keep_key(tmp_path, replaced(kept=Kept.KEYRING), KEY)
    assert connections(tmp_path) == []


@pytest.mark.parametrize(("key", "secret"), [("short", "s" * 64), ("k" * 64, "two words of a secret"), ("k" * 64, "")])
def test_text_that_is_no_key_is_refused_without_showing_it(key: str, secret: str) -> None:
    with pytest.raises(SettingsError, match="it is not shown") as caught:
        checked_form(key, secret)
    assert all(each not in str(caught.value) for each in (key, secret) if each)


def test_text_of_a_key_shows_its_fingerprint_only() -> None:
    for shown in (repr(KEY), str(KEY), f"{[KEY]}"):
        assert "canary" not in shown
        assert KEY.fingerprint in shown
