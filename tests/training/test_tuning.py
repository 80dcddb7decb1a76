"""Encoders tuned whole, as on a GPU: tiny ones of random weights, each step the real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

import configs
from data.head import HeadGraph
from training import tuning
from training.graphs import packed
from training.speech import SpeechRecipe
from training.tuning import Tuned, TuningRecipe, WhisperOutputs

RAW = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 8),
    "conv_stride": (16, 20),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
}


def tiny(kind: str) -> PreTrainedModel:
    if kind == "whisper":
        config = WhisperConfig(
            d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=48,
            decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=48, vocab_size=64,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        return WhisperModel(config)
    if kind == "wavlm":
        return WavLMModel(WavLMConfig(**RAW))
    if kind == "hubert":
        return HubertModel(HubertConfig(**RAW))
    return Wav2Vec2Model(Wav2Vec2Config(**RAW))


KINDS = ("whisper", "wav2vec2", "hubert", "wavlm")


@pytest.fixture(scope="module")
def config() -> TuningRecipe:
    recipe = configs.load("speech", SpeechRecipe).tuning
    quick = {"epochs": 4, "batch": 8, "warmup_steps": 5, "layer_rate": 0.001, "score_rate": 0.01}
    return recipe.model_copy(update=quick)


@pytest.fixture(scope="module", params=KINDS)
def whole(request, config, tmp_path_factory) -> TuningRecipe:
    """The recipe that tunes one of them whole."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    tiny(request.param).save_pretrained(folder)
    return config.model_copy(update={"encoder": str(folder)})


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Tones of .4 to .9 s between 150 and 1,500 Hz in noise."""
    rng = np.random.default_rng(4)
    found = []
    for hz in np.linspace(150, 1500, 48):
        times = np.arange(rng.integers(6400, 14_400)) / 16_000
        noise = rng.normal(0, 0.02, len(times))
        found.append((0.2 * np.sin(2 * np.pi * hz * times) + noise).astype("f4"))
    return found


@pytest.fixture(scope="module")
def tuned(whole, sounds) -> Tuned:
    """Rated by their pitch."""
    ratings = np.linspace(20, 80, len(sounds))[:, None]
    return tuning.tune(whole, sounds, ratings, seed=0, threads=1, label="whole")


def test_a_whole_encoder_learns_from_waveforms(tuned, sounds):
    found = tuning.points(tuned, sounds)[:, 0]
    assert np.corrcoef(found, np.arange(len(sounds)))[0, 1] > 0.6


def test_a_waveform_has_the_same_points_alone_and_beside_longer_ones(tuned, sounds):
    together = tuning.points(tuned, sounds[:6], size=6)
    alone = np.concatenate([tuning.points(tuned, [part]) for part in sounds[:6]])
    np.testing.assert_allclose(together, alone, atol=1.5)


def test_a_whole_encoder_travels_in_the_graph(tuned, sounds, tmp_path):
    onnx.save(packed(tuning.graph(tuned)), tmp_path / "head.onnx")
    assert str(Path.cwd()).encode() not in (tmp_path / "head.onnx").read_bytes()
    head = HeadGraph(tmp_path / "head.onnx")
    assert head.reads == {"waveform"}
    found = head.points(np.zeros((6, 1)), waveforms=sounds[:6])
    alone = np.concatenate([tuning.points(tuned, [part]) for part in sounds[:6]])
    np.testing.assert_allclose(found, alone, atol=1.0)


def test_a_whole_encoder_is_kept_and_read_again(tuned, whole, sounds, tmp_path):
    tuning.save(tuned, tmp_path / "one.pt")
    again = tuning.load(tmp_path / "one.pt", whole, targets=1)
    np.testing.assert_array_equal(
        tuning.points(again, sounds[:3]), tuning.points(tuned, sounds[:3])
    )


def test_an_encoder_that_is_nowhere_is_named(config):
    nowhere = config.model_copy(update={"encoder": "/nowhere/encoder"})
    with pytest.raises(OSError, match="nowhere/encoder"):
        Tuned(nowhere, 1)


def test_the_spectrum_in_the_graph_is_the_one_that_whisper_was_trained_on(sounds):
    waveform = sounds[3]
    extractor = WhisperFeatureExtractor(feature_size=80)
    theirs = extractor(waveform, sampling_rate=16_000, padding="do_not_pad", return_tensors="np")
    ours = WhisperOutputs(tiny("whisper").get_encoder()).mel(torch.from_numpy(waveform)[None])
    np.testing.assert_allclose(ours[0], theirs["input_features"][0], atol=2e-3)


def test_an_epoch_holds_every_stretch_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(10, 1000, 333)
    parts = list(tuning.batches(lengths, 16, np.random.default_rng(0)))
    assert Counter(np.concatenate(parts).tolist()) == Counter(range(333))
    assert max(map(len, parts)) == 16
    padded = sum(len(rows) * lengths[rows].max() for rows in parts)
    assert padded < 1.35 * lengths.sum()
