"""Whisper's encoder as a graph that gives every layer: CTranslate2 gives only the last.

CTranslate2 decodes the words from the last layer, and speech is scored from the layers
before it: one pass for both, of the weights in CTranslate2's own file.
Source: Radford et al. 2022 (Whisper).
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from data.assets import cache_folder, known_sha256
from data.contract import ContractMismatch

Floats = npt.NDArray[np.float32]
Weights = dict[str, Floats]
"""Tensors of an encoder under the names that Hugging Face's WhisperEncoder gives them."""

Precision = Literal["int8", "float32"]

GRAPH = 2
"""Bump when other graphs are built from the same weights: they are kept between runs."""

HEAD_WIDTH = 64
"""Of every Whisper's attention heads."""

WEIGHTS_FILE = "model.bin"


class Encoder:
    """The encoder of a folder with a CTranslate2 Whisper, in onnxruntime."""

    def __init__(self, folder: Path, precision: Precision, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(encoder_file(folder, precision)), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, mel: Floats) -> Floats:
        """(bands, frames) → (layers, frames / 2, width), of the last layer normalised."""
        states: Floats = self._session.run(None, {"mel": np.ascontiguousarray(mel[None])})[0]
        return states


def encoder_file(folder: Path, precision: Precision) -> Path:
    """The encoder's graph, built on first use."""
    name = f"encoder-{GRAPH}"
    return graph_file(folder, name, precision, lambda: encoder_graph(read_weights(folder)))


def graph_file(
    folder: Path, name: str, precision: Precision, build: Callable[[], onnx.ModelProto]
) -> Path:
    """A graph of a folder's weights, built on first use and kept in the cache."""
    digest = known_sha256(folder / WEIGHTS_FILE)[:16]
    path = cache_folder() / "graphs" / f"{name}-{digest}-{precision}.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{os.getpid()}-{path.name}")
        _write(build(), precision, scratch)
        scratch.replace(path)
    return path


def read_weights(folder: Path) -> Weights:
    """The encoder's weights, float32. Raises ContractMismatch for a file of another form."""
    tensors = read_tensors(folder, "encoder/")
    found = {
        "conv1.weight": tensors["conv1/weight"],
        "conv1.bias": tensors["conv1/bias"],
        "conv2.weight": tensors["conv2/weight"],
        "conv2.bias": tensors["conv2/bias"],
        "embed_positions.weight": tensors["position_encodings/encodings"],
        "layer_norm.weight": tensors["layer_norm/gamma"],
        "layer_norm.bias": tensors["layer_norm/beta"],
    }
    found |= read_layers(tensors, {"self_attention": "self_attn"})
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in found.items()}


def read_layers(
    tensors: dict[str, npt.NDArray[Any]], attentions: dict[str, str]
) -> dict[str, npt.NDArray[Any]]:
    """Weights of all layers under Hugging Face's names. attentions : CTranslate2's name → theirs"""
    found = {}
    for i in range(sum(name.endswith("ffn/linear_0/weight") for name in tensors)):
        theirs, ours = f"layer_{i}", f"layers.{i}"
        norms = {"ffn": "final_layer_norm", **{a: f"{b}_layer_norm" for a, b in attentions.items()}}
        for a, b in norms.items():
            found[f"{ours}.{b}.weight"] = tensors[f"{theirs}/{a}/layer_norm/gamma"]
            found[f"{ours}.{b}.bias"] = tensors[f"{theirs}/{a}/layer_norm/beta"]
        for part in ("weight", "bias"):
            for k, b in enumerate(("fc1", "fc2")):
                found[f"{ours}.{b}.{part}"] = tensors[f"{theirs}/ffn/linear_{k}/{part}"]
            for a, b in attentions.items():
                stem = f"{theirs}/{a}/linear_"
                names = sorted(n for n in tensors if n.startswith(stem) and n.endswith(part))
                *read, out = (tensors[name] for name in names)
                found[f"{ours}.{b}.out_proj.{part}"] = out
                # Queries, keys and values are one matrix, or the queries are apart.
                for letter, values in zip("qkv", np.split(np.concatenate(read), 3), strict=True):
                    if (letter, part) != ("k", "bias"):  # Whisper's keys have none: zeros are kept
                        found[f"{ours}.{b}.{letter}_proj.{part}"] = values
    return found


_TYPES: dict[int, Any] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_tensors(folder: Path, part: str) -> dict[str, npt.NDArray[Any]]:
    """Tensors of a part of a CTranslate2 model of binary version 6, by their names in it.

    Source: `ModelSpec._serialize` of ctranslate2 4.
    Raises ContractMismatch for a file of another form.
    """
    path, tensors = folder / WEIGHTS_FILE, {}
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as file:

        def number(form: str) -> int:
            return int(struct.unpack(f"<{form}", file.read(struct.calcsize(form)))[0])

        def text() -> str:
            return file.read(number("H"))[:-1].decode()

        if (version := number("I")) != 6 or text() != "WhisperSpec":
            raise ContractMismatch(
                f"{path} is no Whisper that CTranslate2 4 wrote (binary version {version}, "
                "needed 6); convert it with ct2-transformers-converter"
            )
        number("I")
        for _ in range(number("I")):
            name = text()
            shape = [number("I") for _ in range(number("B"))]
            kind, size = np.dtype(_TYPES[number("B")]), number("I")
            if name.startswith(part):
                values = np.frombuffer(file.read(size), kind).reshape(shape)
                tensors[name.removeprefix(part)] = values
            else:
                file.seek(size, os.SEEK_CUR)
    if any(name.endswith("weight_scale") for name in tensors):
        raise ContractMismatch(f"{path} is quantised; convert it with --quantization float16")
    return tensors


def _write(model: onnx.ModelProto, precision: Precision, path: Path) -> None:
    if precision == "float32":
        onnx.save(model, path)
        return
    # Not at the top: it takes a second, and a service needs it once a machine.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Says that shapes need not be inferred first, else a warning asks for it.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    # The second half of each feed-forward has outliers that 8 bits do not hold: with it the
    # error of the last layer is .19 of its size, without .05. With attention's own output
    # 15 Mandarin clips have .207 errors a character, without .144; exact they have .138.
    quantize_dynamic(
        model,
        path,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=[n.name for n in model.graph.node if n.name.endswith(("fc2", "out_proj"))],
        per_channel=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )


def encoder_graph(weights: Weights) -> onnx.ModelProto:
    """mel (1, bands, frames) → states (layers, frames / 2, width)."""
    graph = Graph(weights)
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        names = [x, graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")]
        x = graph.add("Conv", names, name, pads=[1, 1], strides=[stride])
        x = graph.add("Gelu", [x], f"{name}.gelu")
    x = graph.add("Transpose", [x], "rows", perm=[0, 2, 1])
    frames = graph.add("Shape", [x], "frames", start=1, end=2)
    places = graph.add(
        "Slice",
        [graph.weight("embed_positions.weight"), graph.constant([0]), frames, graph.constant([0])],
        "places",
    )
    x = graph.add("Add", [x, places], "placed")
    count = sum(name.endswith("fc1.weight") for name in weights)
    states = []
    for i in range(count):
        x = graph.fed_forward(graph.attended(x, "", f"layers.{i}", "self_attn"), f"layers.{i}")
        states.append(x)
    states[-1] = graph.norm(x, "layer_norm")
    graph.node("Concat", states, "states", axis=0)
    bands, width = weights["conv1.weight"].shape[1], len(weights["layer_norm.bias"])
    return graph.model({"mel": (1, bands, "frames")}, {"states": (count, "outputs", width)})


class Graph:
    """Nodes of a graph and the weights they read, under their names."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.used: dict[str, npt.NDArray[Any]] = {}

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Name of the node's output."""
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}:out"], name, **attributes))
        return f"{name}:out"

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """A node whose output has that very name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))

    def weight(self, name: str) -> str:
        """The weight's own name."""
        self.used[name] = self.weights[name]
        return name

    def constant(self, values: list[int]) -> str:
        """Name of a vector of whole numbers."""
        name = f"const{json.dumps(values)}"
        self.used[name] = np.array(values, np.int64)
        return name

    def norm(self, x: str, name: str) -> str:
        """Each row to mean 0 and deviation 1, scaled and shifted."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=1e-5)

    def linear(self, x: str, weight: Floats, bias: Floats, name: str) -> str:
        """weight : (out, in) as layers keep it."""
        self.used[f"{name}.T"], self.used[f"{name}.bias"] = weight.T, bias
        product = self.add("MatMul", [x, f"{name}.T"], name)
        return self.add("Add", [product, f"{name}.bias"], f"{name}.add")

    def attended(self, x: str, beside: str, layer: str, part: str, *, causal: bool = False) -> str:
        """Attention, normalised before and added after.

        beside : what is attended to; empty: x itself. causal : only what came before
        """
        w, name = self.weights, f"{layer}.{part}"
        normed = self.norm(x, f"{layer}.{part}_layer_norm")
        parts = []
        for letter in "qkv":
            weight = w[f"{name}.{letter}_proj.weight"]
            bias = w.get(f"{name}.{letter}_proj.bias", np.zeros(len(weight), np.float32))
            read = normed if letter == "q" or not beside else beside
            parts.append(self.linear(read, weight, bias, f"{name}.{letter}_proj"))
        mixed = self.add(
            "MultiHeadAttention",
            parts,
            f"{name}.heads",
            domain="com.microsoft",
            num_heads=len(w[f"{name}.q_proj.bias"]) // HEAD_WIDTH,
            unidirectional=int(causal),
        )
        out = f"{name}.out_proj"
        return self.add(
            "Add", [x, self.linear(mixed, w[f"{out}.weight"], w[f"{out}.bias"], out)], name
        )

    def fed_forward(self, x: str, layer: str) -> str:
        """Two linear layers, normalised before and added after."""
        y = self.norm(x, f"{layer}.final_layer_norm")
        for part in ("fc1", "fc2"):
            full = f"{layer}.{part}"
            y = self.linear(y, self.weights[f"{full}.weight"], self.weights[f"{full}.bias"], full)
            if part == "fc1":
                y = self.add("Gelu", [y], f"{full}.gelu")
        return self.add("Add", [x, y], layer)

    def model(
        self,
        inputs: dict[str, tuple[int | str, ...]],
        outputs: dict[str, tuple[int | str, ...]],
        whole_numbers: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """The graph as a file holds it; inputs and outputs are float32, or int64 where named."""

        def listed(values: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name in whole_numbers else TensorProto.FLOAT, shape
                )
                for name, shape in values.items()
            ]

        tensors = [
            numpy_helper.from_array(np.ascontiguousarray(t), n) for n, t in self.used.items()
        ]
        graph = helper.make_graph(self.nodes, "whisper", listed(inputs), listed(outputs), tensors)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)
