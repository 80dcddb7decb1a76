"""Encoders of transformers, exported and tuned: a tiny one made here, and a real small one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast, T5Config, T5Model

import configs
from data import embedding
from data.assets import AssetUnavailable, fetch
from data.contract import ContractMismatch, SentenceEncoder
from training.competency import CompetencyRecipe
from training.encoders import Loaded, export, tune

CONFIG = configs.load("competency", CompetencyRecipe).encoder
TEXTS = ["客户投诉", "先道歉再查清原因", "the customer complained", "wo"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers whose words are single characters."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = sorted(set("".join(TEXTS)) | set("abcdefghijklmnopqrstuvwxyz解决回访好坏不"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(words)),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_the_graph_embeds_as_the_model_does_whatever_the_batch(tiny: Path, tmp_path: Path):
    loaded = Loaded.of(str(tiny))
    known = export(loaded, tmp_path, CONFIG)
    assert known.width == 24
    assert known.name.startswith(f"{tiny.name}-")
    encode = embedding.exported(tmp_path)
    together = encode(TEXTS)
    with torch.no_grad():
        model = loaded.embedder(*loaded.read(TEXTS, CONFIG.max_tokens)).numpy()
    np.testing.assert_allclose(together, model, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encode([t]) for t in TEXTS]), together, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def chosen(folder: Path, **changes: object) -> SentenceEncoder:
    known = embedding.about(folder)
    return SentenceEncoder(
        **{"name": known.name, "width": known.width, "folder": str(folder), **changes}
    )


def test_the_configured_encoder_is_the_exported_one_or_refused(tiny: Path, tmp_path: Path):
    export(Loaded.of(str(tiny)), tmp_path, CONFIG)
    assert embedding._encoder(chosen(tmp_path))(["客户"]).shape == (1, 24)
    for change in ({"name": "another-12345678"}, {"width": 512}):
        with pytest.raises(ContractMismatch, match="fit again"):
            embedding._encoder(chosen(tmp_path, **change))


def test_an_encoder_whose_files_changed_is_refused(tiny: Path, tmp_path: Path):
    export(Loaded.of(str(tiny)), tmp_path, CONFIG)
    stated = chosen(tmp_path)
    vocabulary = json.loads((tmp_path / embedding.TOKENIZER).read_text())
    vocabulary["normalizer"] = None
    (tmp_path / embedding.TOKENIZER).write_text(json.dumps(vocabulary))
    with pytest.raises(ContractMismatch, match="holds"):
        embedding._encoder(stated)


def test_a_folder_that_holds_no_encoder_is_named(tmp_path: Path):
    missing = SentenceEncoder(name="x", width=3, folder=str(tmp_path / "none"))
    with pytest.raises(ContractMismatch, match="training encoder"):
        embedding._encoder(missing)


def test_an_encoder_with_a_decoder_is_refused_by_name(tmp_path: Path):
    small = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(small).save_pretrained(tmp_path)
    with pytest.raises(ContractMismatch, match="decoder"):
        Loaded.of(str(tmp_path))


def rated() -> pd.DataFrame:
    """Answers that say what the reference says are rated high."""
    rows = [("解决回访", 100.0), ("解决", 70.0), ("好", 20.0), ("坏", 0.0)] * 3
    return pd.DataFrame(
        {
            "question": "客户投诉",
            "references": [("解决回访",)] * len(rows),
            "answer": [text for text, _ in rows],
            "rating": [rating for _, rating in rows],
        }
    )


def test_tuning_brings_better_rated_answers_nearer_to_the_reference(tiny: Path):
    loaded = Loaded.of(str(tiny))
    config = CONFIG.model_copy(update={"epochs": 30, "rate": 3e-3, "batch": 12})

    def nearness(text: str) -> float:
        with torch.no_grad():
            found = loaded.embedder(*loaded.read([text, "解决回访"], CONFIG.max_tokens))
        return float(found[0] @ found[1])

    first = tune(loaded, rated(), config.model_copy(update={"epochs": 1}))
    last = tune(loaded, rated(), config)
    assert last < first
    assert nearness("解决") > nearness("好") > nearness("坏")


def test_an_encoder_says_which_questions_it_was_tuned_on(tiny: Path, tmp_path: Path):
    known = export(Loaded.of(str(tiny)), tmp_path, CONFIG, tuned_on=("客户投诉", "客户投诉"))
    assert known.tuned_on == (embedding.question_digest("客户投诉 "),)


def test_a_real_small_encoder_is_exported_and_tells_meanings_apart(tmp_path: Path):
    try:
        folder = fetch("all-minilm-l6-v2")
    except AssetUnavailable as reason:
        pytest.skip(f"the MiniLM cannot be fetched: {str(reason).splitlines()[0]}")
    export(Loaded.of(str(folder)), tmp_path, CONFIG)
    sorry, same, other = embedding.exported(tmp_path)(
        ["I apologised to the customer.", "I said sorry to the client.", "We swam in the lake."]
    )
    assert sorry @ same > 0.6
    assert sorry @ other < 0.3
