import base64
import hashlib
import os
import resource
import stat
from pathlib import Path

import pytest

from serving.vault import KEY_VARIABLE, Vault, VaultError, vault_key

CHUNK = 4096


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return opened(tmp_path, os.urandom(32))


def opened(folder: Path, key: bytes, chunk_bytes: int = CHUNK) -> Vault:
    return Vault(folder / "media", folder / "plain", key, chunk_bytes)


def kept(vault: Vault, plain: bytes, step: int = 1000) -> str:
    with vault.new() as writer:
        for start in range(0, len(plain), step):
            writer.write(plain[start : start + step])
    assert writer.sha256 == hashlib.sha256(plain).hexdigest()
    assert writer.size_bytes == len(plain)
    return writer.name


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 50_001])
def test_what_was_written_is_read_back(vault: Vault, size: int) -> None:
    plain = os.urandom(size)
    with vault.open_plain(kept(vault, plain), ".mp4") as path:
        assert path.suffix == ".mp4"
        assert path.read_bytes() == plain


def test_nothing_of_the_recording_can_be_read_on_disk(vault: Vault) -> None:
    plain = b"my name is Wang Fang " * 1000
    sealed = (vault.media / kept(vault, plain)).read_bytes()
    assert b"Wang" not in sealed
    assert len(sealed) > len(plain)


def test_the_plain_copy_is_private_and_gone_afterwards(vault: Vault) -> None:
    with vault.open_plain(kept(vault, b"voice")) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    assert list(vault.plain.iterdir()) == []


def test_the_plain_copy_is_gone_when_scoring_breaks(vault: Vault) -> None:
    name = kept(vault, b"voice")
    with pytest.raises(RuntimeError), vault.open_plain(name):
        raise RuntimeError
    assert list(vault.plain.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut at a chunk", "cut in a chunk", "flipped", "swapped"])
def test_a_changed_recording_does_not_open(vault: Vault, damage: str) -> None:
    name = kept(vault, os.urandom(3 * CHUNK))
    path = vault.media / name
    sealed = bytearray(path.read_bytes())
    chunk = CHUNK + 16
    head = len(sealed) - 3 * chunk
    if damage == "cut at a chunk":
        del sealed[-chunk:]
    elif damage == "cut in a chunk":
        del sealed[-5:]
    elif damage == "flipped":
        sealed[head + 10] ^= 1
    else:
        first, second = sealed[head : head + chunk], sealed[head + chunk : head + 2 * chunk]
        sealed[head : head + 2 * chunk] = second + first
    path.write_bytes(sealed)
    with pytest.raises(VaultError), vault.open_plain(name):
        pass
    assert list(vault.plain.iterdir()) == []


def test_a_recording_opens_neither_under_another_name_nor_with_another_key(
    vault: Vault, tmp_path: Path
) -> None:
    name = kept(vault, b"voice")
    (vault.media / "other").write_bytes((vault.media / name).read_bytes())
    with pytest.raises(VaultError), vault.open_plain("other"):
        pass
    with pytest.raises(VaultError), opened(tmp_path, os.urandom(32)).open_plain(name):
        pass


def test_a_recording_stays_readable_when_the_chunk_size_changes(tmp_path: Path) -> None:
    key, plain = os.urandom(32), os.urandom(20_000)
    name = kept(opened(tmp_path, key), plain)
    with opened(tmp_path, key, 2 * CHUNK).open_plain(name) as path:
        assert path.read_bytes() == plain


def test_an_upload_that_breaks_off_leaves_nothing(vault: Vault) -> None:
    def upload() -> None:
        with vault.new() as writer:
            writer.write(os.urandom(2 * CHUNK))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        upload()
    assert vault.names() == []


@pytest.mark.parametrize("size", [100, CHUNK + 100, 50 * CHUNK])
def test_a_full_disk_is_an_error_and_leaves_neither_a_file_nor_an_open_one(
    vault: Vault, size: int
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            kept(vault, b"v" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(vault.media.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_else_lies_in_shared_storage_is_not_a_recording(vault: Vault) -> None:
    name = kept(vault, b"voice")
    (vault.media / "lost+found").mkdir()
    vault.set_mark("of-this-database")
    assert [found for found, _ in vault.names()] == [name]
    assert vault.mark == "of-this-database"


def test_deleting_twice_is_no_error(vault: Vault) -> None:
    name = kept(vault, b"voice")
    vault.delete(name)
    vault.delete(name)
    assert vault.names() == []


def test_copies_of_killed_processes_are_cleared_and_those_in_use_are_not(vault: Vault) -> None:
    abandoned = vault.plain / "abandoned"
    abandoned.mkdir()
    (abandoned / "recording").write_bytes(b"voice")
    with vault.open_plain(kept(vault, b"voice")) as path:
        assert vault.clear_plain() == 0, "both are too young"
        assert vault.clear_plain(older_than_s=0) == 1
        assert path.exists()
    assert not abandoned.exists()


def test_a_sealed_value_opens_only_for_its_context(vault: Vault) -> None:
    sealed = vault.seal("我叫王芳".encode(), "score-1")
    assert vault.unseal(sealed, "score-1").decode() == "我叫王芳"
    with pytest.raises(VaultError, match="score-2"):
        vault.unseal(sealed, "score-2")
    with pytest.raises(VaultError, match="not sealed"):
        vault.unseal(b"{}", "score-1")


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "vault.key"
    with pytest.raises(VaultError, match="restore"):
        vault_key(file, make=False)
    key = vault_key(file, make=True)
    assert vault_key(file, make=True) == vault_key(file, make=False) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["vault.key"]
    file.chmod(0o644)
    with pytest.raises(VaultError, match="chmod 600"):
        vault_key(file, make=True)


def test_the_key_of_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = os.urandom(32)
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(key).decode())
    assert vault_key(tmp_path / "vault.key", make=False) == key
    assert not (tmp_path / "vault.key").exists()
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(key[:16]).decode())
    with pytest.raises(VaultError, match="got 16"):
        vault_key(tmp_path / "vault.key", make=False)
