"""A whole encoder of speech, tuned to the ratings: for a machine with a GPU.

Any Whisper, wav2vec 2.0, HuBERT or WavLM of transformers is tuned from the waveform on and
travels inside the published graph. On two cores nothing is tuned: the upper two layers of
Whisper base, tuned on cached outputs for three hours, took .002 from the fluency and prosody
of three folds of speakers (.8557 and .8480 without, .8537 and .8451 with half the weight).
Source: Okabe et al. 2018 (attentive statistics pooling).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnx
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from data.contract import SAMPLE_RATE, Record
from training import fit

Floats = npt.NDArray[np.float64]
Waveforms = Sequence[npt.NDArray[np.floating]]
"""(samples,) of each stretch, 16 kHz."""


class TuningRecipe(Record):
    """`tuning` in configs/speech.yaml."""

    encoder: str = Field(
        description="folder or hub name of a Whisper, wav2vec 2.0, HuBERT or WavLM for "
        "transformers; empty: none is tuned"
    )
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1, description="stretches a step")
    layer_rate: float = Field(gt=0, description="learning rate of the encoder")
    score_rate: float = Field(gt=0, description="learning rate of pooling and scores")
    warmup_steps: int = Field(ge=1)
    weight_decay: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1, description="of what was pooled")
    hidden_share: float = Field(ge=0, lt=1, description="of the outputs, hidden at each step")


ABSENT = -1e4
"""Added to the attention to what is not there."""


class Pooling(nn.Module):
    """Outputs in time → points: even and attended statistics of the last layer, and the mean
    of the middle one, then a line.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, width: int, targets: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Linear(width, 1)
        self.norm = nn.LayerNorm(5 * width)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(5 * width, targets)
        nn.init.zeros_(self.attention.weight)
        nn.init.normal_(self.scores.weight, std=0.005)
        self.register_buffer("centre", torch.zeros(targets))
        self.register_buffer("scale", torch.ones(targets))

    def forward(self, hidden: Tensor, middle: Tensor, absent: Tensor) -> Tensor:
        """(n, outputs, width), absent (n, outputs, 1) of 0 or ABSENT → (n, targets)."""
        even = absent.softmax(dim=1)
        attended = (self.attention(hidden) + absent).softmax(dim=1)
        pooled = torch.cat(
            [*_statistics(hidden, even), *_statistics(hidden, attended), (middle * even).sum(1)],
            dim=1,
        )
        points: Tensor = self.scores(self.dropout(self.norm(pooled)))
        return points * self.scale + self.centre


def _statistics(hidden: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over time."""
    mean = (hidden * weights).sum(1)
    variance = ((hidden - mean[:, None]) ** 2 * weights).sum(1)
    return mean, (variance + 1e-5).sqrt()


def _absent(like: Tensor, present: Tensor | None) -> Tensor:
    """(n, outputs, 1): 0 where there is something, ABSENT elsewhere."""
    nothing = torch.zeros_like(like[..., :1])
    return nothing if present is None else nothing.masked_fill(~present[..., None], ABSENT)


class Tuned(nn.Module):
    """An encoder of transformers and its pooling. Raises OSError where there is no encoder."""

    def __init__(self, config: TuningRecipe, targets: int) -> None:
        super().__init__()
        model = AutoModel.from_pretrained(config.encoder)
        whisper = model.config.model_type == "whisper"
        self.hidden_share = config.hidden_share
        self.encoder = WhisperOutputs(model.get_encoder()) if whisper else RawOutputs(model)
        self.pooling = Pooling(model.config.hidden_size, targets, config.dropout)

    def forward(self, waveform: Tensor, present: Tensor | None = None) -> Tensor:
        """(n, samples), present (n, samples) → (n, targets) points of 100."""
        middle, hidden, heard = self.encoder(waveform, present)
        absent = _absent(hidden, None if heard is None else self._seen(heard))
        points: Tensor = self.pooling(hidden, middle, absent)
        return points

    def _seen(self, heard: Tensor) -> Tensor:
        """Without the outputs that are hidden at this step; of each stretch one stays."""
        if not self.training:
            return heard
        seen = heard & (torch.rand(heard.shape, device=heard.device) >= self.hidden_share)
        return seen | (heard & ~seen.any(dim=1, keepdim=True))


Outputs = tuple[Tensor, Tensor, Tensor | None]
"""Middle and last outputs (n, outputs, width), and which of them are there (n, outputs)."""


class RawOutputs(nn.Module):
    """wav2vec 2.0, HuBERT, WavLM: they read samples. Their convolutions stay as they are."""

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        model.feature_extractor._freeze_parameters()

    def forward(self, waveform: Tensor, present: Tensor | None) -> Outputs:
        """Samples are brought to mean 0 and deviation 1, as these encoders were trained."""
        there = torch.ones_like(waveform) if present is None else present.to(waveform.dtype)
        count = there.sum(1, keepdim=True)
        mean = (waveform * there).sum(1, keepdim=True) / count
        spread = (((waveform - mean) * there) ** 2).sum(1, keepdim=True) / count
        even = (waveform - mean) * there / (spread + 1e-7).sqrt()
        mask = None if present is None else present.long()
        found = self.model(even, attention_mask=mask, output_hidden_states=True)
        states = found.hidden_states
        heard = None
        if present is not None:
            lengths = self.model._get_feat_extract_output_lengths(present.sum(1))
            heard = torch.arange(states[-1].shape[1], device=lengths.device) < lengths[:, None]
        return states[len(states) // 2], states[-1], heard


class WhisperOutputs(nn.Module):
    """Whisper of any size on stretches of any length, its spectrum computed in the graph."""

    waves: Tensor
    filters: Tensor

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.model = encoder
        bands = encoder.config.num_mel_bins
        extractor: Any = WhisperFeatureExtractor(feature_size=bands)  # type: ignore[no-untyped-call]
        size = extractor.n_fft
        times = torch.arange(size) * 2 * torch.pi / size
        angles = torch.arange(size // 2 + 1)[:, None] * times
        window = torch.hann_window(size)
        waves = torch.cat([angles.cos() * window, angles.sin() * window])
        filters = torch.from_numpy(np.asarray(extractor.mel_filters.T, np.float32))
        self.hop = extractor.hop_length
        self.register_buffer("waves", waves[:, None], persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor, present: Tensor | None) -> Outputs:
        """Outputs come every two hops."""
        hidden = self._embedded(self.mel(waveform))
        heard, mask = None, None
        if present is not None:
            lengths = (present.sum(1) + 2 * self.hop - 1) // (2 * self.hop)
            heard = torch.arange(hidden.shape[1], device=lengths.device) < lengths[:, None]
            mask = _absent(hidden, heard).transpose(1, 2)[:, None]
        middle = hidden
        for number, layer in enumerate(self.model.layers, start=1):
            hidden = layer(hidden, mask)
            if number == len(self.model.layers) // 2:
                middle = hidden
        return middle, self.model.layer_norm(hidden), heard

    def mel(self, waveform: Tensor) -> Tensor:
        """(n, samples) → (n, bands, frames), as WhisperFeatureExtractor gives it."""
        around = self.waves.shape[-1] // 2
        padded = functional.pad(waveform[:, None], (around, around), mode="reflect")
        parts = functional.conv1d(padded, self.waves, stride=self.hop)[..., :-1]
        real, imaginary = parts.chunk(2, dim=1)
        bands = self.filters @ (real**2 + imaginary**2)
        logs = bands.clamp(min=1e-10).log10()
        return (torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8) + 4) / 4

    def _embedded(self, mel: Tensor) -> Tensor:
        model = self.model
        rows = functional.gelu(model.conv2(functional.gelu(model.conv1(mel)))).transpose(1, 2)
        places: Tensor = model.embed_positions.weight[: rows.shape[1]]
        return rows + places


def tune(
    config: TuningRecipe,
    waveforms: Waveforms,
    ratings: Floats,
    *,
    seed: int,
    threads: int,
    label: str,
) -> Tuned:
    """An encoder tuned to the ratings of these stretches, on a GPU where there is one.

    ratings : (stretches, targets) in points of 100
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(seed)
    model = Tuned(config, ratings.shape[1])
    model.pooling.centre.copy_(torch.from_numpy(ratings.mean(axis=0)))
    model.pooling.scale.copy_(torch.from_numpy(ratings.std(axis=0).clip(min=1e-6)))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    goal = torch.from_numpy(ratings.astype(np.float32)).to(device)
    steps = config.epochs * -(-len(waveforms) // config.batch)
    optimiser = _optimiser(config, model)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / config.warmup_steps) * (1 - step / steps)
    )
    model.train()
    with fit.progress(label, steps) as done:
        for epoch in range(config.epochs):
            losses = []
            for rows in batches([len(part) for part in waveforms], config.batch, rng):
                padded, present = _padded([waveforms[i] for i in rows])
                found = model(padded.to(device), present.to(device))
                loss = (((found - goal[rows]) / model.pooling.scale) ** 2).mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                losses.append(loss.item())
                done()
            if mlflow.active_run() is not None:
                mlflow.log_metric(f"{label} loss", float(np.mean(losses)), step=epoch)
    return model.cpu().eval()


def _optimiser(config: TuningRecipe, model: Tuned) -> torch.optim.Optimizer:
    groups = [
        {"params": list(model.encoder.parameters()), "lr": config.layer_rate},
        {"params": list(model.pooling.parameters()), "lr": config.score_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def batches(
    lengths: Sequence[int], size: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.intp]]:
    """Rows of each step of one epoch: every row once, with rows of about its length."""
    order = rng.permutation(len(lengths))
    alike = np.array_split(order, max(1, len(order) // (10 * size)))
    ranked = np.concatenate([part[np.argsort(np.take(lengths, part))] for part in alike])
    parts = [ranked[i : i + size] for i in range(0, len(ranked), size)]
    for i in rng.permutation(len(parts)):
        yield parts[i]


def _padded(waveforms: Waveforms) -> tuple[Tensor, Tensor]:
    longest = max(len(part) for part in waveforms)
    padded = torch.zeros(len(waveforms), longest)
    present = torch.zeros(len(waveforms), longest, dtype=torch.bool)
    for row, part in enumerate(waveforms):
        padded[row, : len(part)] = torch.from_numpy(part.astype(np.float32))
        present[row, : len(part)] = True
    return padded, present


def points(model: Tuned, waveforms: Waveforms, size: int = 16) -> Floats:
    """(stretches, targets) in points of 100, uncut."""
    found = np.empty((len(waveforms), len(model.pooling.centre)))
    order = np.argsort([len(part) for part in waveforms])
    with torch.inference_mode():
        for i in range(0, len(order), size):
            rows = order[i : i + size]
            found[rows] = model(*_padded([waveforms[row] for row in rows])).numpy()
    return found


def save(model: Tuned, path: Path) -> None:
    """For `load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    torch.save(model.state_dict(), scratch)
    scratch.replace(path)


def load(path: Path, config: TuningRecipe, *, targets: int) -> Tuned:
    """What `save` wrote."""
    model = Tuned(config, targets)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


OPSET = 18


def graph(model: Tuned) -> onnx.ModelProto:
    """Waveform (1, samples) → points (1, targets)."""
    given = torch.zeros(1, SAMPLE_RATE)
    program = torch.onnx.export(
        model,
        (given,),
        input_names=["waveform"],
        output_names=["points"],
        dynamic_shapes={"waveform": {1: torch.export.Dim.DYNAMIC}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "dynamo=True gives a program"
    found = program.model_proto
    for node in found.graph.node:  # where in whose code it came from, half of the file
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del found.graph.value_info[:]
    return found
