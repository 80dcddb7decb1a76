"""The decoder's graph beside transformers' own, from the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from data import assets
from data.contract import ENCODER_WIDTH
from data.decoder import Decoder, read_weights
from data.listening import Listener
from data.recording import open_recording
from data.transcript import Recogniser

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
PROMPT = (50258, 50259, 50359, 50363)
"""Start of transcript, English, transcribe, no times."""


@pytest.fixture(scope="module")
def folder() -> Path:
    return assets.fetch("whisper-base")


@pytest.fixture(scope="module")
def whisper() -> Recogniser:
    return Recogniser(Listener())


@pytest.fixture(scope="module")
def states(whisper) -> np.ndarray:
    """Of the sample's first window."""
    waveform = open_recording(SAMPLE).waveform
    assert waveform is not None
    return np.array(whisper.listener.listen(waveform[: 10 * 16_000]).windows[0].encoding)


@pytest.fixture(scope="module")
def tokens(whisper) -> list[int]:
    text = " Last year I worked in a branch of a bank, and one customer was very unhappy."
    return list(whisper._tokens.encode(text, add_special_tokens=False).ids)


def theirs(folder: Path, states: np.ndarray, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    weights = read_weights(folder)
    base = WhisperConfig(
        d_model=ENCODER_WIDTH, decoder_layers=6, decoder_attention_heads=8, decoder_ffn_dim=2048
    )
    peer = WhisperDecoder(base).eval()
    peer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    with torch.inference_mode():
        found = peer(
            input_ids=torch.tensor([[*PROMPT, *tokens]]),
            encoder_hidden_states=torch.from_numpy(states),
        ).last_hidden_state[0, len(PROMPT) - 1 : -1]
        likely = (found @ peer.embed_tokens.weight.T).log_softmax(-1)
    chosen = likely[torch.arange(len(tokens)), torch.tensor(tokens)]
    return chosen.numpy(), -(likely.exp() * likely).sum(-1).numpy()


def test_every_token_is_as_sure_as_in_transformers(folder, states, tokens):
    ours = Decoder(folder, "float32")(states, PROMPT, tokens)
    for one, other in zip(ours, theirs(folder, states, tokens), strict=True):
        assert one.shape == (len(tokens),)
        np.testing.assert_allclose(one, other, atol=0.02)  # its table of tokens has 16 bits


def test_eight_bits_stay_near(folder, states, tokens):
    for one, other in zip(
        Decoder(folder, "int8")(states, PROMPT, tokens),
        theirs(folder, states, tokens),
        strict=True,
    ):
        assert np.abs(one - other).mean() < 0.15 * np.abs(other).mean() + 0.02


def test_words_that_were_not_said_are_improbable(folder, whisper, states, tokens):
    decoder = Decoder(folder, "int8")
    strange = list(whisper._tokens.encode(" purple triangles sing", add_special_tokens=False).ids)
    said, not_said = (decoder(states, PROMPT, text)[0].mean() for text in (tokens, strange))
    assert said > not_said + 1


def test_a_token_knows_what_came_before_and_not_what_comes_after(folder, states, tokens):
    decoder = Decoder(folder, "float32")
    whole = decoder(states, PROMPT, tokens)[1]
    part = decoder(states, PROMPT, tokens[:5])[1]
    np.testing.assert_allclose(part, whole[:5], atol=1e-3)


def test_tokens_are_those_of_the_words_and_lie_in_their_time(whisper):
    waveform = open_recording(SAMPLE).waveform
    assert waveform is not None
    decoded = whisper.decode(whisper.listener.listen(waveform), known="en")
    assert len(decoded.tokens) >= len(decoded.words) > 20
    first_s, last_s = decoded.words[0].start_s, decoded.words[-1].end_s
    assert all(first_s - 1 <= token.time_s <= last_s + 1 for token in decoded.tokens)
    times_s = [token.time_s for token in decoded.tokens]
    assert times_s == sorted(times_s)
    assert all(token.log_probability <= 0 <= token.entropy for token in decoded.tokens)
