"""Media and scorecards at rest: chunked AES-256-GCM, memory bounded by one chunk.

A sealed file is `magic · chunk size (4) · salt (32) · nonce prefix (7) · chunks`; each chunk
is its ciphertext and a 16 byte tag. The nonce is `prefix · counter (4) · last (1)`, so a chunk
that was cut off, repeated or moved does not open. Every file has its own key, derived
from the vault's key and the salt; the name it is kept under is authenticated with it.

Source: the STREAM construction, Hoang, Reyhanitabar, Rogaway and Vizár (2015).
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serving.settings import ServingConfig

KEY_VARIABLE = "INTERVIEW_VAULT_KEY"
MAGIC = b"ISV1"
SALT_BYTES, PREFIX_BYTES, TAG_BYTES = 32, 7, 16
HEADER_BYTES = len(MAGIC) + 4 + SALT_BYTES + PREFIX_BYTES
NAME = re.compile(r"[0-9a-f]{32}")
"""A recording's. Shared storage may hold files that are not ours."""

MARK = "vault.mark"
"""File that says which database the recordings beside it belong to."""


FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of an OSError where there is no room; there may be later."""


class VaultError(Exception):
    """What was sealed does not open: another key, or bytes that were changed."""


class Vault:
    """Sealed files of one folder, and sealed values for the database."""

    def __init__(self, media: Path, plain: Path, key: bytes, chunk_bytes: int) -> None:
        """`key` is 32 random bytes; whoever loses it loses every recording.

        media : sealed files, of every machine
        plain : where this machine opens them
        """
        if len(key) != 32:
            raise ValueError(f"the vault needs a key of 32 bytes, got {len(key)}")
        self.media = media
        self.plain = plain
        self._key = key
        self._chunk_bytes = chunk_bytes
        for made in (self.media, self.plain):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)

    @classmethod
    def open(cls, config: ServingConfig, *, new: bool) -> Vault:
        """The vault of this configuration. Raises VaultError where its key is missing.

        new : nothing is sealed yet, so a key may be made
        """
        key = vault_key(Path(config.vault.key_file), make=new)
        media, plain = Path(config.vault.folder), config.folder / "plain"
        return cls(media, plain, key, config.vault.chunk_bytes)

    @property
    def mark(self) -> str | None:
        """What `set_mark` wrote into the folder of the recordings, on whatever machine."""
        with suppress(FileNotFoundError):
            return (self.media / MARK).read_text()
        return None

    @property
    def in_place(self) -> bool:
        """Whether its folders are there: storage that is not mounted leaves an empty one."""
        with suppress(OSError):
            return self.mark is not None and os.access(self.plain, os.W_OK)
        return False

    def holds(self, name: str) -> bool:
        """Whether a recording is still there."""
        return self._path(name).is_file()

    def set_mark(self, mark: str) -> None:
        """Mark the folder of the recordings."""
        with (self.media / MARK).open("w") as file:
            file.write(mark)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self.media)

    def new(self) -> SealedWriter:
        """A writer for one recording; it is kept only if the `with` block ends well."""
        return SealedWriter(self, secrets.token_hex(16))

    def delete(self, name: str) -> None:
        """Remove a recording; one that is already gone is no error."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> list[tuple[str, float]]:
        """(name, time of last change) of every recording, half-written ones too."""
        found = []
        for path in self.media.iterdir():
            # Another process may remove it meanwhile.
            with suppress(FileNotFoundError):
                if NAME.fullmatch(path.name):
                    found.append((path.name, path.stat().st_mtime))
        return found

    @contextmanager
    def open_plain(self, name: str, suffix: str = "") -> Iterator[Path]:
        """A readable copy, 0600 in a private folder, gone when the block ends."""
        folder = Path(tempfile.mkdtemp(dir=self.plain))
        held = os.open(folder / "held", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            path = folder / f"recording{suffix}"
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as plain:
                for chunk in self._chunks(name):
                    plain.write(chunk)
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)

    def clear_plain(self, older_than_s: float = 60) -> int:
        """How many copies, left behind by processes that were killed, were removed.

        A younger one may just be in the making: its owner has not locked it yet.
        """
        removed = 0
        for folder in self.plain.iterdir():
            if _is_abandoned(folder, older_than_s):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed

    def seal(self, value: bytes, context: str) -> bytes:
        """`value` sealed for the database; it opens only with the same `context`."""
        salt, prefix = os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES)
        cipher = self._cipher(salt)
        sealed = cipher.encrypt(_nonce(prefix, 0, last=True), value, context.encode())
        return _header(len(value), salt, prefix) + sealed

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What was sealed. Raises VaultError."""
        _, salt, prefix = _read_header(sealed[:HEADER_BYTES])
        try:
            cipher = self._cipher(salt)
            nonce = _nonce(prefix, 0, last=True)
            return cipher.decrypt(nonce, sealed[HEADER_BYTES:], context.encode())
        except InvalidTag as error:
            raise VaultError(f"the value of {context} does not open with this key") from error

    def fingerprint(self, value: bytes) -> str:
        """64 hex digits, the same for the same value; it can be guessed only with the key."""
        return hmac.digest(self._derived(b"", b"interview fingerprint 1"), value, "sha256").hex()

    def _path(self, name: str) -> Path:
        return self.media / name

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self._derived(salt, b"interview vault 1"))

    def _derived(self, salt: bytes, purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=purpose).derive(self._key)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._path(name).open("rb") as file:
            chunk_bytes, salt, prefix = _read_header(file.read(HEADER_BYTES))
            sealed_bytes = chunk_bytes + TAG_BYTES
            cipher, counter = self._cipher(salt), 0
            chunk = file.read(sealed_bytes)
            while True:
                following = file.read(sealed_bytes)
                nonce = _nonce(prefix, counter, last=not following)
                try:
                    yield cipher.decrypt(nonce, chunk, name.encode())
                except InvalidTag as error:
                    raise VaultError(f"recording {name} was changed or has another key") from error
                if not following:
                    return
                chunk, counter = following, counter + 1


class SealedWriter:
    """Seals what is written, chunk by chunk, while its sha256 and size are counted."""

    def __init__(self, vault: Vault, name: str) -> None:
        """Nothing is on disk before the block is entered."""
        self.name = name
        self.size_bytes = 0
        self._vault = vault
        self._pending = bytearray()
        self._counter = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> SealedWriter:
        """The writer, its file open."""
        salt, self._prefix = os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES)
        self._cipher = self._vault._cipher(salt)
        path = self._vault._path(self.name)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb")
        self._file.write(_header(self._vault._chunk_bytes, salt, self._prefix))
        return self

    def write(self, plain: bytes | memoryview) -> None:
        """Append `plain`."""
        self._digest.update(plain)
        self.size_bytes += len(plain)
        self._pending += plain
        # The last chunk is marked as such, so one full chunk is always held back.
        while len(self._pending) > self._vault._chunk_bytes:
            self._seal(self._vault._chunk_bytes, last=False)

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._digest.hexdigest()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Seal the last chunk and force it to disk; after an error remove the file."""
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def _finish(self) -> None:
        assert self._file is not None
        self._seal(len(self._pending), last=True)
        self._file.flush()
        # Accepted means durable, file and name of it: the row is written only after this.
        os.fsync(self._file.fileno())
        self._file.close()
        _sync_folder(self._vault.media)

    def _discard(self) -> None:
        assert self._file is not None
        # Closing writes what is buffered, which fails once more where the disk is full.
        with suppress(OSError):
            self._file.close()
        self._vault.delete(self.name)

    def _seal(self, count: int, *, last: bool) -> None:
        assert self._file is not None
        nonce = _nonce(self._prefix, self._counter, last=last)
        plain = bytes(self._pending[:count])
        self._file.write(self._cipher.encrypt(nonce, plain, self.name.encode()))
        del self._pending[:count]
        self._counter += 1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def vault_key(key_file: Path, *, make: bool) -> bytes:
    """32 bytes from INTERVIEW_VAULT_KEY (base64), else from `key_file`.

    make : make the file (0600) where there is none
    Raises VaultError.
    """
    if text := os.environ.get(KEY_VARIABLE):
        return _decoded(text, KEY_VARIABLE)
    if not key_file.exists():
        if not make:
            raise VaultError(
                f"the vault's key is missing: set {KEY_VARIABLE} or restore {key_file}; "
                "what was sealed opens with no other key"
            )
        _make_key(key_file)
    if key_file.stat().st_mode & 0o077:
        raise VaultError(f"{key_file} is readable by others: chmod 600 {key_file}")
    return _decoded(key_file.read_text(), str(key_file))


def _make_key(key_file: Path) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, draft = tempfile.mkstemp(dir=key_file.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(os.urandom(32)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    # A link fails where another process was first: both then read that one's key.
    with suppress(FileExistsError):
        os.link(draft, key_file)
    os.unlink(draft)


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise VaultError(f"{source} is not base64") from error
    if len(key) != 32:
        raise VaultError(f"{source} needs 32 bytes in base64, got {len(key)}")
    return key


def _nonce(prefix: bytes, counter: int, *, last: bool) -> bytes:
    return prefix + counter.to_bytes(4, "big") + bytes([last])


def _header(chunk_bytes: int, salt: bytes, prefix: bytes) -> bytes:
    return MAGIC + chunk_bytes.to_bytes(4, "big") + salt + prefix


def _read_header(head: bytes) -> tuple[int, bytes, bytes]:
    if len(head) != HEADER_BYTES or not head.startswith(MAGIC):
        raise VaultError("this was not sealed by the vault")
    chunk_bytes = int.from_bytes(head[4:8], "big")
    return chunk_bytes, head[8 : 8 + SALT_BYTES], head[8 + SALT_BYTES :]


def _is_abandoned(folder: Path, older_than_s: float) -> bool:
    with suppress(FileNotFoundError):
        if time.time() - folder.stat().st_mtime < older_than_s:
            return False
        held = os.open(folder / "held", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(held)
        return True
    return False
