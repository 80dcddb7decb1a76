"""How sure Whisper's decoder is of each token of a text, and how undecided before it.

CTranslate2 tells neither where it searches with beams, and the less like others someone
pronounces, the more undecided the decoder is: experts' ratings follow that more closely
than the probability of the words. The text is known, so all its tokens take one pass.
Source: Radford et al. 2022 (Whisper).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from data.encoder import (
    Floats,
    Graph,
    Precision,
    Weights,
    graph_file,
    read_layers,
    read_tensors,
)

GRAPH = 1
"""Bump when other graphs are built from the same weights: they are kept between runs."""


class Decoder:
    """The decoder of a folder with a CTranslate2 Whisper, in onnxruntime."""

    def __init__(self, folder: Path, precision: Precision, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(decoder_file(folder, precision)), options, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self, states: Floats, prompt: Sequence[int], tokens: Sequence[int]
    ) -> tuple[Floats, Floats]:
        """(tokens,) log probability of each, and entropy of what may come in its place; nats.

        states : (1, outputs, width) of the encoder's last layer, normalised
        prompt : tokens before the text
        """
        given = {
            "states": np.ascontiguousarray(states, np.float32),
            "tokens": np.array([[*prompt, *tokens]], np.int64),
        }
        likely, undecided = self._session.run(None, given)
        text = slice(len(prompt) - 1, len(prompt) - 1 + len(tokens))
        return likely[text], undecided[text]


def decoder_file(folder: Path, precision: Precision) -> Path:
    """The decoder's graph, built on first use."""
    return graph_file(folder, f"decoder-{GRAPH}", precision, lambda: decoder_graph(folder))


def decoder_graph(folder: Path) -> onnx.ModelProto:
    """states (1, outputs, width), tokens (1, n) → two of (n - 1,): of each token but the first."""
    weights = read_weights(folder)
    graph = Graph(weights)
    graph.used["table"] = weights["embed_tokens.weight"].astype(np.float16)
    ids = graph.add("Squeeze", ["tokens", graph.constant([0])], "ids")
    count = graph.add("Shape", [ids], "count")
    places = graph.add(
        "Slice",
        [graph.weight("embed_positions.weight"), graph.constant([0]), count, graph.constant([0])],
        "places",
    )
    embedded = graph.add("Gather", ["table", ids], "embedded")
    x = graph.add("Cast", [embedded], "wide", to=onnx.TensorProto.FLOAT)
    x = graph.add("Add", [x, places], "placed")
    x = graph.add("Unsqueeze", [x, graph.constant([0])], "batch")
    for i in range(sum(name.endswith("fc1.weight") for name in weights)):
        name = f"layers.{i}"
        x = graph.attended(x, "", name, "self_attn", causal=True)
        x = graph.attended(x, "states", name, "encoder_attn")
        x = graph.fed_forward(x, name)
    x = graph.add("Squeeze", [graph.norm(x, "layer_norm"), graph.constant([0])], "last")
    before = graph.add(
        "Slice", [x, graph.constant([0]), graph.constant([-1]), graph.constant([0])], "before"
    )
    graph.used["to_vocabulary"] = weights["embed_tokens.weight"].T
    logits = graph.add("MatMul", [before, "to_vocabulary"], "vocabulary")
    likely = graph.add("LogSoftmax", [logits], "likely", axis=-1)
    after = graph.add(
        "Slice",
        [ids, graph.constant([1]), graph.constant([np.iinfo(np.int32).max]), graph.constant([0])],
        "after",
    )
    column = graph.add("Unsqueeze", [after, graph.constant([1])], "column")
    chosen = graph.add("GatherElements", [likely, column], "chosen", axis=1)
    surprise = graph.add("Mul", [graph.add("Exp", [likely], "probable"), likely], "surprise")
    expected = graph.add("ReduceSum", [surprise, graph.constant([1])], "expected", keepdims=0)
    graph.node("Squeeze", [chosen, graph.constant([1])], "log_probability")
    graph.node("Neg", [expected], "entropy")
    width = len(weights["layer_norm.bias"])
    return graph.model(
        {"states": (1, "outputs", width), "tokens": (1, "tokens")},
        {"log_probability": ("n",), "entropy": ("n",)},
        whole_numbers=("tokens",),
    )


def read_weights(folder: Path) -> Weights:
    """The decoder's, under the names that Hugging Face's WhisperDecoder gives them, float32.

    Raises ContractMismatch for a file of another form.
    """
    tensors = read_tensors(folder, "decoder/")
    found = {
        "embed_tokens.weight": tensors["embeddings/weight"],
        "embed_positions.weight": tensors["position_encodings/encodings"],
        "layer_norm.weight": tensors["layer_norm/gamma"],
        "layer_norm.bias": tensors["layer_norm/beta"],
    }
    found |= read_layers(tensors, {"self_attention": "self_attn", "attention": "encoder_attn"})
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in found.items()}
