from pathlib import Path

import av
import numpy as np
import pytest

from data.assets import AssetUnavailable, fetch, file_sha256

FOLDER = Path(__file__).resolve().parents[2] / "data" / "sample"
SAMPLE = FOLDER / "sample.mp4"


def test_the_sample_is_small_and_is_the_one_its_readme_describes() -> None:
    assert SAMPLE.stat().st_size <= 2_000_000
    assert file_sha256(SAMPLE) in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_sample_is_half_a_minute_of_h264_and_aac() -> None:
    with av.open(str(SAMPLE)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert (picture.width, picture.height, picture.average_rate) == (640, 480, 25)
        assert 30 <= container.duration / av.time_base <= 40


def test_one_face_is_seen_in_nearly_every_frame() -> None:
    mp = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    try:
        model = fetch("face_landmarker.task")
    except AssetUnavailable as error:
        pytest.skip(str(error))
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=2,
    )
    faces = []
    with (
        av.open(str(SAMPLE)) as container,
        vision.FaceLandmarker.create_from_options(options) as landmarker,
    ):
        for i, frame in enumerate(container.decode(video=0)):
            if i % 5:
                continue
            pixels = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)
            faces.append(len(landmarker.detect_for_video(image, i * 40).face_landmarks))
    assert np.mean(np.array(faces) == 1) >= 0.95


def test_the_two_long_pauses_are_silent_and_the_answer_is_not() -> None:
    with av.open(str(SAMPLE)) as container:
        voice = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    blocks = voice[: len(voice) // 2400 * 2400].reshape(-1, 2400)
    level_db = 20 * np.log10(np.sqrt((blocks**2).mean(axis=1)) + 1e-9)
    loud = level_db > -45
    quiet = "".join("x" if is_loud else "." for is_loud in loud).strip(".")
    longest_two = sorted((len(run) for run in quiet.split("x")), reverse=True)[:2]
    assert all(run >= 9 for run in longest_two)
    assert 0.6 < loud.mean() < 0.95
