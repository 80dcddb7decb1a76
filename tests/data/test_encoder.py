"""The encoder's graph beside transformers' own and CTranslate2's, from the same weights."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from data import assets
from data.contract import ENCODER_WIDTH, ContractMismatch
from data.encoder import Encoder, read_weights
from data.listening import Listener
from data.recording import open_recording

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"


@pytest.fixture(scope="module")
def folder() -> Path:
    return assets.fetch("whisper-base")


@pytest.fixture(scope="module")
def mel() -> np.ndarray:
    """The sample's first seconds in 80 bands, padded to the 30 s that transformers needs."""
    waveform = open_recording(SAMPLE).waveform
    assert waveform is not None
    bands = Listener().whisper.feature_extractor(waveform[: 20 * 16_000], padding=0)
    return np.pad(bands, ((0, 0), (0, 3000 - bands.shape[1])), mode="edge").astype("f4")


def test_every_layer_is_that_of_transformers(folder, mel):
    weights = read_weights(folder)
    base = WhisperConfig(
        d_model=ENCODER_WIDTH, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048
    )
    peer = WhisperEncoder(base).eval()
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    with torch.inference_mode():
        found = peer(torch.from_numpy(mel[None]), output_hidden_states=True)
    theirs = [*found.hidden_states[1:-1], found.last_hidden_state]
    ours = Encoder(folder, "float32")(mel)
    assert ours.shape == (6, 1500, ENCODER_WIDTH)
    for layer, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        difference = np.abs(one - other[0].numpy())
        assert difference.mean() < 1e-4 * np.abs(one).mean(), f"layer {layer}"


def test_eight_bits_stay_as_near_to_the_exact_encoder_as_ctranslate2s(folder, mel):
    exact, ours = Encoder(folder, "float32")(mel), Encoder(folder, "int8")(mel)
    whisper = ctranslate2.models.Whisper(str(folder), compute_type="int8")
    theirs = np.array(whisper.encode(ctranslate2.StorageView.from_array(mel[None])))[0]

    def error(found: np.ndarray) -> float:
        return float(np.abs(found - exact[-1]).mean() / np.abs(exact[-1]).mean())

    assert error(ours[-1]) < 1.5 * error(theirs) < 0.15


def test_the_graph_is_built_once(folder, mel, tmp_path, monkeypatch):
    monkeypatch.setenv("INTERVIEW_CACHE", str(tmp_path))
    first = Encoder(folder, "float32")(mel[:, :200])
    [graph] = (tmp_path / "graphs").iterdir()
    built = graph.stat().st_mtime_ns
    np.testing.assert_array_equal(Encoder(folder, "float32")(mel[:, :200]), first)
    assert graph.stat().st_mtime_ns == built


def test_a_file_that_is_no_whisper_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "model.bin").write_bytes(
        (6).to_bytes(4, "little") + b"\x08\x00BertSpe\x00" + b"0" * 64
    )
    with pytest.raises(ContractMismatch, match="ct2-transformers-converter"):
        read_weights(tmp_path)


def test_a_file_that_was_quantised_is_refused_with_what_to_do(folder, tmp_path):
    whole = (folder / "model.bin").read_bytes()
    name = b"encoder/conv1/weight\x00"
    other = b"encoder/weight_scale\x00"
    assert whole.count(name) == 1
    (tmp_path / "model.bin").write_bytes(whole.replace(name, other))
    with pytest.raises(ContractMismatch, match="--quantization float16"):
        read_weights(tmp_path)
