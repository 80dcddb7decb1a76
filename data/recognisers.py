"""Which recogniser writes the words: Whisper or a Mandarin-first one, behind one function.

Paraformer (Gao et al. 2022) and SenseVoice (An et al. 2024) run in sherpa-onnx, from a
local folder; what is published for them is far better in Mandarin than Whisper base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import ctranslate2

import configs
from data.assets import AssetUnavailable, cache_folder
from data.contract import SAMPLE_RATE, Word
from data.listening import Listener, Listening, ListeningConfig, Window
from data.transcript import Recogniser, Said, Token, TranscriptConfig, simplified


def recogniser(listener: Listener, config: TranscriptConfig | None = None) -> Recogniser:
    """The one that configs/transcript.yaml names. Raises AssetUnavailable naming what it lacks."""
    config = config or configs.load("transcript", TranscriptConfig)
    if config.recogniser != "whisper":
        return MandarinFirst(listener, config)
    return OtherWhisper(config) if config.folder else Recogniser(listener, config)


SOURCES = {
    "whisper": "any Whisper converted for CTranslate2 (project SYSTRAN/faster-whisper, models "
    "Systran/faster-whisper-small, -medium, -large-v3), or your own by ct2-transformers-converter",
    "sense_voice": "sherpa-onnx-sense-voice-zh-en-ja-ko-yue-2024-07-17 of the release asr-models "
    "of project k2-fsa/sherpa-onnx",
    "paraformer": "sherpa-onnx-paraformer-zh-2024-03-09 of the release asr-models of project "
    "k2-fsa/sherpa-onnx",
}
"""What to download, from which project."""

FILES = {
    "whisper": (("model.bin",), ("tokenizer.json",), ("config.json",)),
    "sense_voice": (("model.int8.onnx", "model.onnx"), ("tokens.txt",)),
    "paraformer": (("model.int8.onnx", "model.onnx"), ("tokens.txt",)),
}
"""Files of a folder, each by the names it may have; the first that is there is used."""


def _files(kind: str, folder: Path) -> list[Path]:
    """Raises AssetUnavailable naming the first file that is absent."""
    found = []
    for names in FILES[kind]:
        present = [folder / name for name in names if (folder / name).is_file()]
        if not present:
            raise AssetUnavailable(
                f"recogniser {kind} needs {' or '.join(names)} in {str(folder)!r} (folder in "
                f"configs/transcript.yaml). Download {SOURCES[kind]}, and unpack it there."
            )
        found.append(present[0])
    return found


@dataclass(frozen=True)
class Candidate:
    """A recogniser whose weights are on this machine."""

    name: str
    config: TranscriptConfig


def present(folder: Path | None = None) -> list[Candidate]:
    """The Whisper that listens, then what lies in the cache's folder `recognisers`.

    A folder with model.bin is a Whisper; one with tokens.txt is a Paraformer if its name
    says so, else a SenseVoice.
    """
    chosen = configs.load("transcript", TranscriptConfig)
    shared = {"recogniser": "whisper", "folder": ""}
    listens = configs.load("listening", ListeningConfig).encoder
    found = [Candidate(listens, chosen.model_copy(update=shared))]
    folder = folder or cache_folder() / "recognisers"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / "model.bin").is_file():
            kind = "whisper"
        elif (path / "tokens.txt").is_file():
            kind = "paraformer" if "paraformer" in path.name else "sense_voice"
        else:
            continue
        update = {"recogniser": kind, "folder": str(path)}
        found.append(Candidate(path.name, chosen.model_copy(update=update)))
    return found


class OtherWhisper(Recogniser):
    """A Whisper of its own: it encodes once more what the speech model's has encoded."""

    def __init__(self, config: TranscriptConfig) -> None:
        """Raises AssetUnavailable naming the file that the folder lacks."""
        _files("whisper", Path(config.folder))
        listening = configs.load("listening", ListeningConfig, encoder=config.folder)
        super().__init__(Listener(listening), config)

    def _heard(self, listening: Listening) -> Listening:
        windows = tuple(
            replace(window, encoding=self._encoding(listening, window))
            for window in listening.windows
        )
        return replace(listening, windows=windows)

    def _tokens_of(self, *_: object) -> list[Token]:
        """None: delivery is judged by the Whisper that listens."""
        return []

    def _encoding(self, listening: Listening, window: Window) -> ctranslate2.StorageView:
        mel = self.listener.mel(listening.waveform, (window.start_s, window.end_s))
        return self.listener.whisper.encode(mel)


class MandarinFirst(Recogniser):
    """Paraformer or SenseVoice by sherpa-onnx.

    Neither says how sure it is of a word: each is as sure as `measured_error_rate` allows,
    and not at all while that is not measured. The language is told by the Whisper that listens.
    """

    def __init__(self, listener: Listener, config: TranscriptConfig) -> None:
        """Raises AssetUnavailable naming the package or the file that is absent."""
        super().__init__(listener, config)
        model, tokens = map(str, _files(config.recogniser, Path(config.folder)))
        try:
            import sherpa_onnx
        except ImportError as error:
            raise AssetUnavailable(
                f"recogniser {config.recogniser} needs the package sherpa-onnx: "
                "pip install '.[mandarin]'"
            ) from error
        load = sherpa_onnx.OfflineRecognizer
        if config.recogniser == "paraformer":
            self._model = load.from_paraformer(paraformer=model, tokens=tokens)
        else:
            self._model = load.from_sense_voice(model=model, tokens=tokens, use_itn=True)

    @property
    def identity(self) -> str:
        """Folder and settings in one word."""
        return f"{self.config.recogniser}-{Path(self.config.folder).name}"

    def _said(
        self, window: Window, listening: Listening, language: str, hotwords: Sequence[str]
    ) -> Said:
        """Neither recogniser takes a language or hotwords."""
        first, last = (round(at * SAMPLE_RATE) for at in (window.start_s, window.end_s))
        stream = self._model.create_stream()
        stream.accept_waveform(SAMPLE_RATE, listening.waveform[first:last])
        self._model.decode_stream(stream)
        error_rate = self.config.measured_error_rate
        sure = 0.0 if error_rate is None else 1 - error_rate
        return Said(words_of(stream.result, window, sure))


def words_of(result: Any, window: Window, probability: float) -> list[Word]:
    """Words of sherpa-onnx's tokens, in the recording's time.

    A token starts a word with ▁ (SenseVoice) or goes on in the next with @@ (Paraformer);
    it lasts to the next one, and where the model gives no times each lasts equally long.

    result : tokens, and timestamps of their starts in seconds, if any
    """
    tokens = list(result.tokens)
    starts = [window.start_s + float(at) for at in result.timestamps]
    if len(starts) != len(tokens):
        step_s = (window.end_s - window.start_s) / max(1, len(tokens))
        starts = [window.start_s + i * step_s for i in range(len(tokens))]
    edges = [min(at, window.end_s) for at in [*starts, window.end_s]]
    words: list[Word] = []
    goes_on = False
    texts = simplified([token.replace("▁", " ").removesuffix("@@") for token in tokens])
    for text, token, (start_s, end_s) in zip(texts, tokens, pairwise(edges), strict=True):
        joins = goes_on or not any(character.isalnum() for character in text)
        goes_on = token.endswith("@@")
        if not text.strip():
            continue
        if words and joins:
            longer = {"text": words[-1].text + text.strip(), "end_s": max(start_s, end_s)}
            words[-1] = words[-1].model_copy(update=longer)
            continue
        if text.isascii() and text[0].isalpha():
            text = f" {text}"
        words.append(
            Word(text=text, start_s=start_s, end_s=max(start_s, end_s), probability=probability)
        )
    return words
