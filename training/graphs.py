"""Graphs of heads made small, and joined, for publishing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

LARGE = 4096
"""Numbers in a matrix from which on it is kept in 8 bits."""


def packed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large matrices in 8 bits, each column with a scale of its own.

    They are made 32 bits again where it is loaded, so that only the file is smaller.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    unpacked = []
    for tensor in list(small.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.ndim != 2 or values.size < LARGE:
            continue
        scale = np.abs(values).max(axis=0) / 127
        scale[scale == 0] = 1
        name = tensor.name
        tensor.CopyFrom(
            numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}:int8")
        )
        small.graph.initializer.append(
            numpy_helper.from_array(scale.astype(np.float32), f"{name}:scale")
        )
        unpacked.append(
            helper.make_node("DequantizeLinear", [f"{name}:int8", f"{name}:scale"], [name], axis=1)
        )
    nodes = [*unpacked, *small.graph.node]
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    return small


def mean_of(rows: onnx.ModelProto, layers: onnx.ModelProto) -> onnx.ModelProto:
    """One graph of two with an output `points` each: the mean of both, of all their inputs."""
    first = compose.add_prefix(rows, "rows/", rename_inputs=False)
    second = compose.add_prefix(layers, "layers/", rename_inputs=False)
    first.ir_version = second.ir_version = min(first.ir_version, second.ir_version)
    joint = compose.merge_models(first, second, io_map=[])
    joint.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    joint.graph.node.extend(
        [
            helper.make_node("Add", ["rows/points", "layers/points"], ["both"]),
            helper.make_node("Mul", ["both", "half"], ["points"]),
        ]
    )
    shape = joint.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del joint.graph.output[:]
    joint.graph.output.append(
        helper.make_tensor_value_info("points", TensorProto.FLOAT, ["n", shape])
    )
    return joint
