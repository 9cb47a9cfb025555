"""Convolutions of whole numbers as one matrix product each: the same sums in half the time.

onnxruntime multiplies unsigned by unsigned bytes in `ConvInteger`, for which processors have no
instruction of their own; unsigned by signed they have one (VNNI). So the activations, bytes
around a zero point, are moved down by 128 together with that zero point, their shifted copies
are laid under each other (im2col), and the kernel times those is one `MatMulInteger`. Every sum
of products is the same whole number, so the sound is the same to the bit.

On processors without VNNI the faster instruction cuts off large sums: `exact_products` tries
it, and the graph stays as it was where a sum comes out wrong.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["exact_products", "with_products"]

_OPSET = 18  # the first with BitwiseXor
_FLIP = "products_128"
_TIME_AXIS = "products_time"
_END = 2**62


# One MatMulInteger, uint8 [16, 64] by int8 [64, 16], as `onnx.helper` makes it: importing onnx
# takes longer than the trial.
_TRIAL = bytes.fromhex(
    "08083a5c0a180a01610a0162120179220d4d61744d756c496e74656765721201745a130a0161120e0a0c080212"
    "080a0208100a0208405a130a0162120e0a0c080312080a0208400a02081062130a0179120e0a0c080612080a02"
    "08100a02081042040a001012"
)


@functools.cache
def exact_products() -> bool:
    """Whether onnxruntime sums products of unsigned and signed bytes exactly here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(_TRIAL, options, providers=["CPUExecutionProvider"])
    largest = {"a": np.full((16, 64), 255, np.uint8), "b": np.full((64, 16), 127, np.int8)}
    (found,) = session.run(None, largest)
    return bool((found == 64 * 255 * 127).all())


def with_products(model: ModelProto) -> ModelProto:
    """`model` with its plain one-dimensional `ConvInteger` nodes replaced, changed in place.

    Those with strides, groups or uneven padding stay. A model of an older operator set than 18
    comes back as it was.
    """
    from onnx import numpy_helper

    if next((o.version for o in model.opset_import if o.domain == ""), 0) < _OPSET:
        return model
    graph = model.graph
    kernels = {t.name: t for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        kernel = kernels.get(node.input[1]) if node.op_type == "ConvInteger" else None
        taps = None if kernel is None else _shifts(node, list(kernel.dims))
        if kernel is None or taps is None or len(node.input) != 4:
            nodes.append(node)
            continue
        nodes += _product(graph, node, numpy_helper.to_array(kernel), taps)
    _constant(graph, _FLIP, np.array(128, np.uint8))
    _constant(graph, _TIME_AXIS, np.array([2], np.int64))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def _shifts(node: NodeProto, dims: list[int]) -> list[int] | None:
    """Where each tap of the kernel begins in the padded signal; None where it is not plain."""
    from onnx import helper

    facts: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if len(dims) != 3 or facts.get("group", 1) != 1 or facts.get("strides", [1]) != [1]:
        return None
    step = facts.get("dilations", [1])[0]
    shifts = [step * tap for tap in range(dims[2])]
    return shifts if facts.get("pads", [0, 0]) == [shifts[-1] // 2] * 2 else None


def _constant(graph: GraphProto, name: str, value: Any) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _product(graph: GraphProto, conv: NodeProto, kernel: Any, shifts: list[int]) -> list[NodeProto]:
    """Nodes that give what `conv` gives; `kernel` uint8 [out, in, taps]."""
    from onnx import TensorProto, helper

    signal, _, zero, kernel_zero = conv.input
    name = f"{conv.name}_product"

    def node(kind: str, inputs: list[str], output: str, **facts: Any) -> NodeProto:
        return helper.make_node(kind, inputs, [output], name=f"{output}_{kind}", **facts)

    made = []
    for source, lowered in ((signal, f"{name}_in"), (zero, f"{name}_zero")):
        made.append(node("BitwiseXor", [source, _FLIP], f"{lowered}_bits"))
        made.append(node("Cast", [f"{lowered}_bits"], lowered, to=TensorProto.INT8))
    laid = f"{name}_in"
    if len(shifts) > 1:
        around = shifts[-1] // 2
        pads = _constant(graph, f"{name}_pads", np.array([0, 0, around, 0, 0, around], np.int64))
        made.append(node("Pad", [laid, pads, f"{name}_zero"], f"{name}_padded"))
        for shift in shifts:
            ends = np.array([shift, shift - shifts[-1] or _END], np.int64)
            begin, end = (
                _constant(graph, f"{name}_{what}{shift}", ends[k : k + 1])
                for k, what in enumerate(("begin", "end"))
            )
            cut = [f"{name}_padded", begin, end, _TIME_AXIS]
            made.append(node("Slice", cut, f"{name}_tap{shift}"))
        laid = f"{name}_laid"
        made.append(node("Concat", [f"{name}_tap{s}" for s in shifts], laid, axis=1))
    rows = np.ascontiguousarray(kernel.transpose(0, 2, 1).reshape(len(kernel), -1))
    matrix = _constant(graph, f"{name}_kernel", rows)
    made.append(node("MatMulInteger", [matrix, laid, kernel_zero, f"{name}_zero"], conv.output[0]))
    return made
