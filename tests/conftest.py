"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
CODECS = {
    ".mp4": "aac",
    ".mov": "aac",
    ".m4a": "aac",
    ".mp3": "libmp3lame",
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".ogg": "libopus",
    ".opus": "libopus",
    ".webm": "libopus",
    ".amr": "libopencore_amrnb",
}


@pytest.fixture(scope="session")
def module_at() -> Callable[[Path], ModuleType]:
    """module_at(path) -> the module in that file, importable by its name from then on."""
    return _module_at


def _module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not present at ../shared/data")
    return folder


@pytest.fixture(scope="session")
def write_media() -> Callable[..., Path]:
    """write_media(path, waveform, rate=16000, layout=mono, frames=None, fps=10) -> path."""
    return _write_media


def _write_media(
    path: Path,
    waveform: np.ndarray | None,
    *,
    rate: int = 16_000,
    layout: str = "mono",
    frames: list[np.ndarray] | None = None,
    fps: int = 10,
    times: list[float] | None = None,
    bit_rate: int | None = None,
) -> Path:
    with av.open(str(path), "w") as container:
        sound: Any = None
        if waveform is not None:
            options = {"strict": "experimental"}
            sound = container.add_stream(CODECS[path.suffix], rate=rate, options=options)
            sound.layout = layout
            if bit_rate:
                sound.bit_rate = bit_rate
        picture: Any = None
        if frames is not None:
            picture = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", fps)
            picture.height, picture.width = frames[0].shape[:2]
            picture.pix_fmt = "yuv420p"
            picture.codec_context.time_base = Fraction(1, 1000)
            for i, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = round(1000 * (times[i] if times else i / fps))
                frame.time_base = Fraction(1, 1000)
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
        if waveform is not None:
            _encode_sound(container, sound, waveform, rate, layout)
    return path


def _encode_sound(
    container: Any, stream: Any, waveform: np.ndarray, rate: int, layout: str
) -> None:
    channels = 2 if layout == "stereo" else 1
    samples = np.repeat(waveform.astype(np.float32)[None, :], channels, axis=0)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate = rate
    resampler = av.AudioResampler(
        format=stream.codec_context.format,
        layout=layout,
        rate=rate,
        frame_size=stream.frame_size or 0,
    )
    for block in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(block))
    container.mux(stream.encode())


def use_state(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make `folder` the state folder of this process, until the patch is undone."""
    patch.setenv("INTERVIEW_STATE", str(folder))
    # MLflow puts the address in use here, where it would outlive the test.
    patch.setenv("MLFLOW_TRACKING_URI", "")


@pytest.fixture
def starters(starter_state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter versions' registry, used by this process during one test."""
    use_state(monkeypatch, starter_state)
    return starter_state


@pytest.fixture(scope="session")
def starter_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose MLflow registry holds the starter versions."""
    from data.registry import NAMES
    from training.publish import register

    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        use_state(patch, state)
        for name in NAMES:
            register(ROOT / "training" / "starter" / name)
    return state


@pytest.fixture(scope="session")
def scorer(starter_state: Path) -> Any:
    """A scorer with the starter versions, loaded once for all tests."""
    from serving.scorer import Scorer

    with pytest.MonkeyPatch.context() as patch:
        use_state(patch, starter_state)
        loaded = Scorer.load()
    yield loaded
    loaded.close()
