"""Any sentence encoder of transformers → the graph that serving reads, tuned where ratings are.

Tuned, the cosine of an answer and its nearest reference is brought in the order of the human
scores: of two answers to one question the better rated shall be nearer (CoSENT). That pays
with thousands of ratings and a GPU; a small one is tuned on two cores in minutes.
Source: Reimers and Gurevych 2019 (mean pooling, siamese tuning); CoSENT, Su 2022.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from data.contract import ContractMismatch
from data.embedding import ABOUT, GRAPH, TOKENIZER, ExportedEncoder, digest_of, question_digest
from training import fit
from training.competency import EncoderRecipe

OPSET = 18


class Embedder(nn.Module):
    """input_ids, attention_mask (n, tokens) → mean of the last layer, length 1 (n, width)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(n, width)"""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        share = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)
        return functional.normalize(mean, dim=1)


@dataclass(frozen=True)
class Loaded:
    """A model of transformers with its tokenizer. name : of its folder, or on the hub"""

    name: str
    embedder: Embedder
    tokenizer: PreTrainedTokenizerFast

    @classmethod
    def of(cls, model: str) -> Loaded:
        """model : folder or hub name. Raises ContractMismatch where it cannot be exported."""
        encoder = AutoModel.from_pretrained(model)
        if encoder.config.is_encoder_decoder:
            raise ContractMismatch(
                f"{model} is an encoder with a decoder; name an encoder (BERT, XLM-R, E5, BGE …)"
            )
        tokenizer = AutoTokenizer.from_pretrained(model)
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ContractMismatch(
                f"{model} has no fast tokenizer (tokenizer.json), which serving needs; convert it "
                "with transformers.convert_slow_tokenizer"
            )
        return cls(Path(model).name, Embedder(encoder).eval(), tokenizer)

    def read(self, texts: list[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        """Token ids and mask of the texts, (n, tokens) each."""
        found = self.tokenizer(
            texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        return found["input_ids"], found["attention_mask"]


def export(
    loaded: Loaded,
    folder: Path,
    config: EncoderRecipe,
    *,
    prefix: str = "",
    tuned_on: tuple[str, ...] = (),
) -> ExportedEncoder:
    """The folder that `data.embedding` reads, and what it says of itself.

    tuned_on : questions whose rated answers the encoder was tuned on
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (GRAPH, f"{GRAPH}.data", TOKENIZER, ABOUT):
        (folder / old).unlink(missing_ok=True)
    example = loaded.read([prefix + "one text", prefix + "another, longer text"], config.max_tokens)
    free = {0: "texts", 1: "tokens"}
    torch.onnx.export(
        loaded.embedder.cpu().eval(),
        example,
        str(folder / GRAPH),
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={"input_ids": free, "attention_mask": free, "embedding": {0: "texts"}},
        opset_version=OPSET,
        dynamo=False,
    )
    loaded.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    with torch.no_grad():
        width = loaded.embedder(*example).shape[1]
    known = ExportedEncoder(
        name=f"{loaded.name}-{digest_of(folder)}",
        width=width,
        max_tokens=config.max_tokens,
        prefix=prefix,
        tuned_on=tuple(sorted({question_digest(question) for question in tuned_on})),
    )
    (folder / ABOUT).write_text(json.dumps(known.model_dump(), indent=2), encoding="utf-8")
    return known


def tune(loaded: Loaded, rated: pd.DataFrame, config: EncoderRecipe, *, prefix: str = "") -> float:
    """Tune the encoder in place on rated answers; the mean loss of the last epoch comes back.

    rated : one row an answer: question, references (tuple), answer, rating
    """
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = loaded.embedder.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.rate)
    loss = float("nan")
    with fit.progress("tuning the encoder", config.epochs) as done:
        for _ in range(config.epochs):
            losses = []
            for rows in _batches(rated, config.batch, random):
                found = _ordered(loaded, rows, config, prefix, device)
                optimiser.zero_grad()
                found.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(float(found.detach()))
            loss = float(np.mean(losses))
            done()
    model.cpu().eval()
    return loss


def _batches(rated: pd.DataFrame, size: int, random: np.random.Generator) -> list[pd.DataFrame]:
    """Answers to one question each, of at least two, in random order."""
    found = []
    for _, rows in rated.groupby("question"):
        mixed = rows.iloc[random.permutation(len(rows))]
        found += [mixed.iloc[at : at + size] for at in range(0, len(mixed), size)]
    return [found[i] for i in random.permutation(len(found)) if len(found[i]) > 1]


def _ordered(
    loaded: Loaded, rows: pd.DataFrame, config: EncoderRecipe, prefix: str, device: str
) -> Tensor:
    """CoSENT loss: log(1 + Σ exp(s (cos_j − cos_i))) over pairs in which i is rated higher."""
    references = list(rows["references"].iloc[0])
    texts = [prefix + text for text in [*references, *rows["answer"]]]
    ids, mask = (part.to(device) for part in loaded.read(texts, config.max_tokens))
    found = loaded.embedder(ids, mask)
    nearest = (found[len(references) :] @ found[: len(references)].T).max(dim=1).values
    rating = torch.tensor(rows["rating"].to_numpy(float), device=device)
    apart = config.sharpness * (nearest[None, :] - nearest[:, None])
    pairs = apart[rating[:, None] > rating[None, :]]
    return torch.logsumexp(torch.cat([pairs.new_zeros(1), pairs]), dim=0)
