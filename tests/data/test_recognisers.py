"""The recogniser is chosen by config; what it lacks is named; sherpa-onnx runs for real."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import configs
from data.assets import AssetUnavailable
from data.listening import Listener, Window
from data.recognisers import MandarinFirst, OtherWhisper, present, recogniser, words_of
from data.recording import open_recording
from data.transcript import Recogniser, TranscriptConfig

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
TOKENS = ["<unk>", "▁SQL", "你", "好", "<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "。"]
SAID = [4, 5, 6, 7, 2, 2, 0, 3, 8, 0, 1]
"""What the planted SenseVoice hears in any sound, by output frame."""


def config(**values: object) -> TranscriptConfig:
    return configs.load("transcript", TranscriptConfig, **values)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def sense_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SenseVoice that always hears 你好。SQL: a constant for an encoder."""
    folder = tmp_path_factory.mktemp("sense-voice")
    said = np.full((1, len(SAID), len(TOKENS)), -9, np.float32)
    said[0, np.arange(len(SAID)), SAID] = 9
    constants = {
        "said": said,
        "silence": np.eye(1, len(TOKENS), dtype=np.float32)[None],
        "more": np.array([4 - len(SAID)]),  # four frames tell the language and the like
        "one": np.array([1]),
    }
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", 560]),
        *(
            helper.make_tensor_value_info(name, TensorProto.INT32, ["N"])
            for name in ("x_length", "language", "text_norm")
        ),
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "L", len(TOKENS)])
    nodes = [
        helper.make_node("Shape", ["x"], ["frames"], start=1, end=2),
        helper.make_node("Add", ["frames", "more"], ["rest"]),
        helper.make_node("Concat", ["one", "rest", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["silence", "shape"], ["silent"]),
        helper.make_node("Concat", ["said", "silent"], ["logits"], axis=1),
    ]
    known = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "planted", inputs, [output], known),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(
        model,
        {
            **{"model_type": "sense_voice_ctc", "vocab_size": str(len(TOKENS)), "blank_id": "0"},
            **{"lfr_window_size": "7", "lfr_window_shift": "6", "normalize_samples": "0"},
            **{"with_itn": "14", "without_itn": "15", "lang_auto": "0", "lang_zh": "3"},
            **{"lang_en": "4", "lang_yue": "7", "lang_ja": "11", "lang_ko": "12"},
            "neg_mean": ",".join(["0"] * 560),
            "inv_stddev": ",".join(["1"] * 560),
        },
    )
    onnx.save(model, folder / "model.onnx")
    lines = [f"{token} {i}" for i, token in enumerate(TOKENS)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_by_default_the_whisper_that_listens_writes_the_words(listener):
    found = recogniser(listener, config())
    assert type(found) is Recogniser
    assert found.listener is listener


@pytest.mark.parametrize(
    ("kind", "needed", "source"),
    [
        ("whisper", "model.bin", "SYSTRAN/faster-whisper"),
        ("sense_voice", "model.int8.onnx or model.onnx", "k2-fsa/sherpa-onnx"),
        ("paraformer", "model.int8.onnx or model.onnx", "k2-fsa/sherpa-onnx"),
    ],
)
def test_a_folder_without_weights_is_refused_with_what_to_download(
    kind: str, needed: str, source: str, listener, tmp_path
):
    with pytest.raises(AssetUnavailable) as error:
        recogniser(listener, config(recogniser=kind, folder=str(tmp_path)))
    assert needed in str(error.value)
    assert source in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_whisper_of_ones_own_hears_what_the_shared_one_does(listener):
    own = recogniser(listener, config(folder=str(listener.folder)))
    assert isinstance(own, OtherWhisper)
    waveform = open_recording(SAMPLE).waveform[: 8 * 16_000]
    listening = listener.listen(waveform)
    shared = Recogniser(listener).transcribe(listening, expected="en")
    assert own.transcribe(listening, expected="en").text == shared.text != ""
    assert own.decode(listening, expected="en").tokens == ()  # delivery is not judged by it


def test_windows_worked_on_side_by_side_are_those_one_after_another(listener):
    waveform = open_recording(SAMPLE).waveform
    one_by_one = Listener(at_once=1)
    several, single = (one.listen(waveform) for one in (listener, one_by_one))
    assert len(several.windows) > 1
    assert [w.start_s for w in several.windows] == [w.start_s for w in single.windows]
    for first, second in zip(several.windows, single.windows, strict=True):
        np.testing.assert_array_equal(first.states, second.states)
    decoded = [Recogniser(one).decode(several, known="en") for one in (listener, one_by_one)]
    assert decoded[0] == decoded[1]


def test_sense_voice_writes_words_with_times_as_sure_as_its_measured_errors(listener, sense_voice):
    chosen = config(recogniser="sense_voice", folder=str(sense_voice), measured_error_rate=0.05)
    waveform = open_recording(SAMPLE).waveform[: 8 * 16_000]
    listening = listener.listen(waveform)
    writes = recogniser(listener, chosen)
    assert isinstance(writes, MandarinFirst)
    found = writes.transcribe(listening, expected="en")
    assert [word.text for word in found.words] == ["你", "好。", " SQL"] * len(listening.windows)
    assert {word.probability for word in found.words} == {0.95}
    assert found.error_rate == 0.05
    assert found.language == "en"  # told by the Whisper that listens
    starts = [word.start_s for word in found.words]
    assert starts == sorted(starts)
    assert found.words[-1].end_s <= listening.windows[-1].end_s
    assert found.recogniser.startswith("sense_voice-")


def test_a_recogniser_whose_errors_nobody_measured_is_sure_of_nothing(listener, sense_voice):
    chosen = config(recogniser="sense_voice", folder=str(sense_voice))
    listening = listener.listen(open_recording(SAMPLE).waveform[: 8 * 16_000])
    found = recogniser(listener, chosen).transcribe(listening, expected="en")
    assert (found.confidence, found.error_rate) == (0, None)


def test_parts_of_a_word_are_joined_and_words_without_times_share_the_window():
    window = Window(2.0, 6.0, None, np.empty((0, 512), np.float32))
    heard = SimpleNamespace(tokens=["我", "用", "py@@", "thon"], timestamps=[])
    found = words_of(heard, window, 0.9)
    assert [(word.text, word.start_s, word.end_s) for word in found] == [
        ("我", 2, 3),
        ("用", 3, 4),
        (" python", 4, 6),
    ]


def test_recognisers_are_found_by_what_their_folders_hold(tmp_path):
    for folder, name in [
        ("whisper-small", "model.bin"),
        ("sherpa-onnx-paraformer-zh", "tokens.txt"),
        ("sherpa-onnx-sense-voice", "tokens.txt"),
        ("notes", "readme.txt"),
    ]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    found = [(one.name, one.config.recogniser) for one in present(tmp_path)]
    assert found == [
        ("whisper-base", "whisper"),
        ("sherpa-onnx-paraformer-zh", "paraformer"),
        ("sherpa-onnx-sense-voice", "sense_voice"),
        ("whisper-small", "whisper"),
    ]
