"""Files that end before their own structure says: what is left of an upload that broke off.

FFmpeg plays such files to where they end and says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

UNTIMED = {"aac", "amr"}
"""Formats that state no length. FFmpeg guesses one from the first bytes: an answer that
begins with a silence of ten seconds was taken to last nine minutes."""

AMR = b"#!AMR\n"
AMR_FRAME_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
"""Of each mode, its header included. Source: RFC 4867, section 5.3."""


def ends_early(path: Path) -> bool:
    """Whether a WAVE, Ogg or AMR file breaks off inside a part of itself, or an Ogg has a hole.

    mp4, webm, flac and most mp3 files state a length, which is compared with what was read.
    """
    with path.open("rb") as stream:
        start = stream.read(12)
        size = path.stat().st_size
        if start[:4] == b"RIFF" and start[8:] == b"WAVE":
            return _wave_ends_early(start, size)
        if start[:4] == b"OggS":
            end = _last_page_end(stream)
            return end > size or _pages_follow(stream, end)
        if start.startswith(AMR):
            return _last_amr_frame_end(stream) > size
    return False


def states_length(path: Path, format_name: str) -> bool:
    """Whether FFmpeg read the length in the file, rather than guess it from the bit rate.

    format_name : FFmpeg's
    """
    return _has_mp3_index(path) if format_name == "mp3" else format_name not in UNTIMED


def _wave_ends_early(start: bytes, size: int) -> bool:
    meant = int.from_bytes(start[4:8], "little")
    # 0 and all ones are what a recorder writes that does not know the length yet
    return 0 < meant < 0xFFFFFFFF and size < 0.99 * (meant + 8)


def _last_page_end(stream: BinaryIO) -> int:
    """Byte after the last Ogg page that can be followed from the first. Source: RFC 3533."""
    end = 0
    while True:
        stream.seek(end)
        head = stream.read(27)
        if head[:4] != b"OggS"[: len(head)] or not head:
            return end
        if len(head) < 27:
            return end + 27
        lacing = stream.read(head[26])
        end += 27 + head[26] + sum(lacing)
        if len(lacing) < head[26]:
            return end + 1


def _pages_follow(stream: BinaryIO, end: int) -> bool:
    """Whether there are Ogg pages after the last one that the first leads to."""
    stream.seek(end)
    return any(b"OggS" in block for block in iter(lambda: stream.read(1 << 20), b""))


def _last_amr_frame_end(stream: BinaryIO) -> int:
    stream.seek(len(AMR))
    frames, at = stream.read(), 0
    while at < len(frames):
        at += AMR_FRAME_BYTES[frames[at] >> 3 & 15]
    return len(AMR) + at


def _has_mp3_index(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(10)
        if head[:3] == b"ID3":  # its size is 4 × 7 bits
            size = sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
            stream.seek(10 + size)
        else:
            stream.seek(0)
        frame = stream.read(2048)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
