"""The system libraries MediaPipe opens, checked and, for root, installed.

Imports the standard library alone: it runs before anything else is known to work.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
}
"""Shared library → the Debian and Ubuntu package that holds it."""


class SystemLibraryMissing(Exception):
    """A library is missing and cannot be installed from here; the message is the command."""


def missing_packages() -> list[str]:
    """Packages whose library cannot be opened."""
    return [package for library, package in LIBRARIES.items() if not _opens(library)]


def ensure() -> list[str]:
    """Install what is missing when root; returns what was installed.

    Raises SystemLibraryMissing with the one command to run, when not root or when
    installing did not help.
    """
    packages = missing_packages()
    if not packages:
        return []
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    advice = f"MediaPipe needs system libraries. Run: sudo {' '.join(command)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemLibraryMissing(advice)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
    result = subprocess.run(command, check=False, env=environment)
    if result.returncode != 0 or missing_packages():
        raise SystemLibraryMissing(f"Installing them failed. {advice}")
    return packages


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
