"""Kokoro's learned numbers: from the int8 ONNX file to fp32 tensors by their usual names.

The ONNX file (dynamic int8 quantisation by onnxruntime) keeps every weight as
``scale * (q - zero_point)``. `read_state` turns each back into float32 and files it under the
name it has in the published PyTorch checkpoint (with weight normalisation folded into one
``weight``), so that `kokoro_model.KokoroModel` loads it with ``strict=True``. A convolution
row whose int8 values are all zero is simply zero here; only a re-split into direction and
gain would divide 0 by 0, and no such split is made.

Method: ONNX operator definitions of MatMulInteger, ConvInteger and (com.microsoft)
DynamicQuantizeLSTM; gate order i,o,f,c (ONNX) against i,f,g,o (PyTorch).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from media.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    State = dict[str, NDArray[np.float32]]

__all__ = ["read_state"]

_EMBEDDING = re.compile(r"(?:encoder|decoder)\.(.+(?:embeddings|embedding)\.weight)_quantized$")
_NAMED = re.compile(r"(?:encoder|decoder)\.(.+)$")
_NOT_LEARNED = re.compile(r"_scale$|_zero_point$|inverse_basis|window_sum|_quantized")


def read_state(onnx_path: Path) -> State:
    """The fp32 state dict of the model stored in `onnx_path`.

    Returns name -> float32 array, 81.7 M numbers, names of `KokoroModel.state_dict()`.
    Raises `WeightsError` when the file is missing or is not this model.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(onnx_path)).graph
    except Exception as error:  # protobuf raises its own family of errors
        raise WeightsError(
            f"{onnx_path} cannot be read as an ONNX model; delete it so that it is rebuilt"
        ) from error
    reader = _Reader({t.name: numpy_helper.to_array(t) for t in graph.initializer})
    for node in graph.node:
        reader.take(node)
    reader.take_named()
    if len(reader.state) < 400:
        raise WeightsError(f"{onnx_path} is an ONNX model but not Kokoro; give the Kokoro file")
    return reader.state


class _Reader:
    """Collects tensors from nodes of one graph into `state`."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self.tensors = tensors
        self.state: State = {}

    def take(self, node: Any) -> None:
        """File the weights that one ONNX node reads, if it reads any."""
        kind = node.op_type
        if kind in ("MatMulInteger", "ConvInteger"):
            self._integer(node)
        elif kind == "DynamicQuantizeLSTM":
            self._lstm(node)
        elif kind in ("Conv", "ConvTranspose") and "istft" not in node.name:
            path = _module_path(node.name)
            self._put(f"{path}.weight", self.tensors[node.input[1]])
            self._put(f"{path}.bias", self.tensors[node.input[2]])
        elif kind == "MatMul" and "m_source/l_linear" in node.name:
            self._put(f"{_module_path(node.name)}.weight", self.tensors[node.input[1]].T)
        elif kind == "Gather" and _EMBEDDING.match(node.input[0]):
            self._embedding(node.input[0])

    def take_named(self) -> None:
        """File the float parameters (biases, norms, snake slopes) that kept their names."""
        for name, value in self.tensors.items():
            match = _NAMED.match(name)
            if match and value.dtype == np.float32 and not _NOT_LEARNED.search(name):
                inner = re.sub(r"^decoder\.", "decoder.", match.group(1))
                self._put(inner, value)

    def _put(self, name: str, value: Array) -> None:
        array = np.ascontiguousarray(value, dtype=np.float32)
        known = self.state.get(name)
        if known is not None and not np.array_equal(known, array):
            raise WeightsError(f"two different tensors claim the name '{name}'; not this model")
        self.state[name] = array

    def _integer(self, node: Any) -> None:
        quantised = self.tensors.get(node.input[1])
        if quantised is None:  # a product of two activations
            return
        scale = self.tensors[node.input[1].replace("_quantized", "_scale")]
        zero = self.tensors[node.input[3]]
        weight = _dequantise(quantised, scale, zero, along=0 if "Conv" in node.op_type else -1)
        if node.op_type == "MatMulInteger":
            weight = weight.T
        self._put(f"{_module_path(node.name)}.weight", weight)

    def _embedding(self, name: str) -> None:
        scale = self.tensors[name.replace("_quantized", "_scale")]
        # The exporter shares one zero point between the four tables.
        zero = self.tensors["encoder.bert.embeddings.word_embeddings.weight_zero_point"]
        match = _EMBEDDING.match(name)
        assert match is not None
        self._put(match.group(1), _dequantise(self.tensors[name], scale, zero, along=0))

    def _lstm(self, node: Any) -> None:
        path = _module_path(node.name)
        w_scale, w_zero, r_scale, r_zero = (self.tensors[k] for k in node.input[8:12])
        # ONNX here: [direction, input, 4 hidden]; PyTorch: [4 hidden, input] per direction.
        ih = _dequantise(self.tensors[node.input[1]], w_scale, w_zero, along=0)
        hh = _dequantise(self.tensors[node.input[2]], r_scale, r_zero, along=0)
        bias = self.tensors[node.input[3]]
        hidden = hh.shape[1]
        gates = np.arange(4 * hidden).reshape(4, hidden)[[0, 2, 3, 1]].ravel()
        for direction, suffix in enumerate(("", "_reverse")):
            self._put(f"{path}.weight_ih_l0{suffix}", ih[direction].T[gates])
            self._put(f"{path}.weight_hh_l0{suffix}", hh[direction].T[gates])
            self._put(f"{path}.bias_ih_l0{suffix}", bias[direction, : 4 * hidden][gates])
            self._put(f"{path}.bias_hh_l0{suffix}", bias[direction, 4 * hidden :][gates])


def _dequantise(quantised: Array, scale: Array, zero: Array, *, along: int) -> Array:
    """``scale * (quantised - zero)``; vectors of scales run along axis `along`."""
    shape = [1] * quantised.ndim
    shape[along] = -1
    difference = quantised.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    result: Array = difference * scale.astype(np.float32).reshape(shape)
    return result


def _module_path(node_name: str) -> str:
    """ONNX node scope (``/encoder/F0.1/conv1/Conv_quant``) -> PyTorch module path."""
    root, *scope = node_name.split("/")[1:-1]
    if root == "encoder" and scope[0] not in ("bert", "bert_encoder", "text_encoder", "predictor"):
        scope.insert(0, "predictor")  # F0, N, shared and their projections
    path = ".".join(scope)
    path = re.sub(r"cnn\.(\d)\.cnn\.\1\.(\d)", r"cnn.\1.\2", path)
    path = path.replace("asr_res.asr_res.0", "asr_res.0")
    # ALBERT calls one shared layer twelve times; the exporter numbers the calls.
    return re.sub(r"\b(query|key|value|dense|ffn|ffn_output|attention)_\d+(?=\.|$)", r"\1", path)
