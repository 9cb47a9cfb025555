"""Convolutions laid out as matrix products: the same whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from voice.engines._kokoro_products import exact_products, with_products

onnx = pytest.importorskip("onnx")


def model_of(kernel: np.ndarray, zero: int, **facts: object):
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, kind: int, shape: list[object] | None):
        return helper.make_tensor_value_info(name, kind, shape)

    conv = helper.make_node("ConvInteger", ["x", "kernel", "zero", "kz"], ["y"], "conv", **facts)
    graph = helper.make_graph(
        [conv],
        "one",
        [
            value("x", TensorProto.UINT8, [1, kernel.shape[1], "time"]),
            value("zero", TensorProto.UINT8, []),
        ],
        [value("y", TensorProto.INT32, None)],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(np.array(zero, np.uint8), "kz"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model, signal: np.ndarray, zero: int) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": signal, "zero": np.array(zero, np.uint8)})[0])


def convolved(x: np.ndarray, kernel: np.ndarray, zero: int, kz: int, step: int) -> np.ndarray:
    """By the definition, in numpy: [1, in, time] -> [1, out, time]."""
    taps = kernel.shape[2]
    around = step * (taps - 1) // 2
    lowered = np.pad(x[0].astype(np.int64) - zero, ((0, 0), (around, around)))
    weights = kernel.astype(np.int64) - kz
    n = x.shape[2]
    return sum(weights[:, :, t] @ lowered[:, t * step : t * step + n] for t in range(taps))[None]


@pytest.mark.parametrize(("taps", "step"), [(1, 1), (3, 1), (7, 3), (11, 5)])
@pytest.mark.parametrize("zero", [0, 113, 255])
def test_a_product_gives_the_sums_of_the_convolution(taps: int, step: int, zero: int) -> None:
    if not exact_products():
        pytest.skip("this processor cuts off sums of unsigned and signed bytes")
    rng = np.random.default_rng(taps)
    kernel = rng.integers(0, 256, (5, 4, taps)).astype(np.uint8)
    kernel[0] = 255  # the largest sums there are
    signal = rng.integers(0, 256, (1, 4, 60)).astype(np.uint8)
    signal[0, :, :30] = 255
    around = [step * (taps - 1) // 2] * 2
    plain = model_of(kernel, 7, kernel_shape=[taps], dilations=[step], pads=around)
    wanted = run(plain, signal, zero)
    np.testing.assert_array_equal(wanted, convolved(signal, kernel, zero, 7, step))
    changed = with_products(plain)
    assert "ConvInteger" not in {n.op_type for n in changed.graph.node}
    assert "kernel" not in {t.name for t in changed.graph.initializer}  # not kept twice
    np.testing.assert_array_equal(run(changed, signal, zero), wanted)


@pytest.mark.parametrize(
    "facts", [{"strides": [2], "pads": [1, 1]}, {"pads": [0, 2]}, {"pads": [1, 1], "group": 2}]
)
def test_other_convolutions_stay(facts: dict[str, object]) -> None:
    kernel = np.ones((4, 2 if "group" in facts else 4, 3), np.uint8)
    changed = with_products(model_of(kernel, 0, kernel_shape=[3], **facts))
    assert [n.op_type for n in changed.graph.node] == ["ConvInteger"]
