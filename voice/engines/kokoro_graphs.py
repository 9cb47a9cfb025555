"""The int8 ONNX file cut into its stages, so that durations, F0 and energy can be replaced.

    text    tokens, style                     -> durations, features, acoustic
    curves  features over frames, style       -> F0, energy
    sound   acoustic over frames, F0, energy, style, noise -> samples

The three graphs hold the same int8 numbers as the original: run one after another with
nothing changed they give bit-identical sound, in less time where `_kokoro_products` can lay
the convolutions out for the processor. They are written to the user's cache once, named by
the sha256 of the file they come from.

A voice may change the gains and biases of single layers (`Voice.layers`): its sound graph is
the same file opened with other numbers in these few places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError, WeightsError
from media.files import atomic_path, sha256_of, user_cache_dir
from voice.engines._kokoro_products import exact_products, with_products

if TYPE_CHECKING:
    Floats = NDArray[np.float32]

__all__ = ["OnnxStages"]

_DURATIONS = "/encoder/predictor/ReduceSum_output_0"
_FEATURES = "/encoder/predictor/text_encoder/Concat_4_output_0"
_ACOUSTIC = "/encoder/text_encoder/Transpose_2_output_0"
_FEATURES_LONG = "/encoder/MatMul_output_0"
_ACOUSTIC_LONG = "/encoder/MatMul_1_output_0"
_F0, _ENERGY = "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"
_SINES = "/decoder/decoder/generator/m_source/l_sin_gen/Mul_6_output_0"

_SHAPES: Mapping[str, tuple[int | str, ...]] = {
    _DURATIONS: (1, "tokens"),
    _FEATURES: (1, "tokens", 640),
    _ACOUSTIC: (1, 512, "tokens"),
    _FEATURES_LONG: (1, 640, "frames"),
    _ACOUSTIC_LONG: (1, 512, "frames"),
    _F0: (1, "steps"),
    _ENERGY: (1, "steps"),
}
_STAGES: Mapping[str, tuple[list[str], list[str]]] = {
    "text": (["tokens", "style"], [_DURATIONS, _FEATURES, _ACOUSTIC]),
    "curves": ([_FEATURES_LONG, "style"], [_F0, _ENERGY]),
    "sound": ([_ACOUSTIC_LONG, _F0, _ENERGY, "style", "noise"], ["audio"]),
}
# Part of the cached files' names: raise it when the cut changes.
_CUT = 2
_LAYER = "decoder.decoder.{}.fc.bias"
_VOICES = 3  # sound graphs held open for voices with layers of their own


@dataclass(frozen=True, slots=True)
class OnnxStages:
    """Three onnxruntime sessions on the CPU. Shapes as in `KokoroModel`, batch of one."""

    _text: Any
    _curves: Any
    _sound: Any
    _sound_path: Path
    _threads: int
    _own: dict[bytes, tuple[Any, object]] = field(default_factory=dict)
    _opening: Lock = field(default_factory=Lock)

    @classmethod
    def load(cls, onnx_path: Path, threads: int) -> OnnxStages:
        """Open the stages of `onnx_path`, cutting them first when the cache has none.

        Raises `WeightsError` when the file is not Kokoro.
        """
        folder = user_cache_dir() / "kokoro"
        key = f"{sha256_of(onnx_path)[:16]}-{_CUT}{'p' if exact_products() else ''}"
        paths = {name: folder / f"{key}-{name}.onnx" for name in _STAGES}
        if not all(_is_whole(p) for p in paths.values()):
            _cut(onnx_path, paths)
        try:
            return cls._opened(paths, threads)
        except Exception:  # onnxruntime's own family: the cached copy is damaged, make it again
            _cut(onnx_path, paths)
            return cls._opened(paths, threads)

    @classmethod
    def _opened(cls, paths: Mapping[str, Path], threads: int) -> OnnxStages:
        text, curves, sound = (_session(paths[name], threads) for name in _STAGES)
        return cls(text, curves, sound, paths["sound"], threads)

    def text(self, ids: NDArray[np.int64], style: Floats) -> tuple[Floats, Floats, Floats]:
        """(expected durations [T], features [T, 640], acoustic [T, 512]); ids int64 [T]."""
        durations, features, acoustic = self._text.run(None, {"tokens": ids[None], "style": style})
        return durations[0], features[0], acoustic[0].T

    def curves(self, features: Floats, style: Floats) -> tuple[Floats, Floats]:
        """(F0 Hz [2n], log energy [2n]) from features over frames [n, 640]."""
        feed = {_FEATURES_LONG: np.ascontiguousarray(features.T)[None], "style": style}
        f0, energy = self._curves.run(None, feed)
        return f0[0], energy[0]

    def sound(
        self,
        acoustic: Floats,
        f0: Floats,
        energy: Floats,
        style: Floats,
        noise: Floats | None,
        layers: Mapping[str, Floats],
    ) -> Floats:
        """Samples [600 n] from acoustic [n, 512]; `noise` [600 n, 9] is added to the sines.

        `layers`: name -> float32 [2 C], added to the layer's gains and biases. Raises
        `WeightsError` when they are another model's.
        """
        feed = {
            _ACOUSTIC_LONG: np.ascontiguousarray(acoustic.T)[None],
            _F0: f0[None],
            _ENERGY: energy[None],
            "style": style,
            "noise": np.zeros((1, 1, 9), np.float32) if noise is None else noise[None],
        }
        # What the session reads is held until it has run: other threads may open more voices.
        session, _held = self._layered(layers) if layers else (self._sound, None)
        samples: Floats = session.run(None, feed)[0]
        return samples

    def _layered(self, layers: Mapping[str, Floats]) -> tuple[Any, object]:
        """(the sound graph with a voice's own layers, the numbers that it reads where they lie).

        The last few voices stay open.
        """
        digest = hashlib.sha256()
        for name, extra in layers.items():
            digest.update(name.encode())
            digest.update(extra.tobytes())
        key = digest.digest()
        with self._opening:  # several sentences are spoken at once
            if key not in self._own:
                values = _changed(self._sound_path, layers)
                session = _session(self._sound_path, self._threads, values)
                while len(self._own) >= _VOICES:
                    del self._own[next(iter(self._own))]
                self._own[key] = session, values
            return self._own[key]


def _changed(path: Path, layers: Mapping[str, Floats]) -> dict[str, Any]:
    """The graph's own numbers plus the voice's, by the graph's names."""
    import onnx
    import onnxruntime

    known = {t.name: t for t in onnx.load(str(path)).graph.initializer}
    values = {}
    for name, extra in layers.items():
        stored = known.get(_LAYER.format(name))
        own = None if stored is None else onnx.numpy_helper.to_array(stored)
        if own is None or own.shape != extra.shape:
            raise WeightsError(
                f"this voice changes a layer '{name}' that its engine does not have; fit it again"
            )
        total = np.ascontiguousarray(own + extra, np.float32)
        values[_LAYER.format(name)] = onnxruntime.OrtValue.ortvalue_from_numpy(total)
    return values


def _session(path: Path, threads: int, values: Mapping[str, Any] | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle threads sleep: a batch shares the processors between voice and picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, value in (values or {}).items():
        options.add_initializer(name, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _cut(onnx_path: Path, paths: Mapping[str, Path]) -> None:
    import onnx
    from onnx.utils import Extractor

    try:
        model = onnx.load(str(onnx_path))
        _name_the_seams(model)
        extractor = Extractor(model)
        parts = {name: extractor.extract_model(*ends) for name, ends in _STAGES.items()}
        if exact_products():
            parts = {name: with_products(part) for name, part in parts.items()}
    except Exception as error:  # protobuf's and onnx's own families
        raise WeightsError(
            f"{onnx_path} is not the Kokoro file this engine knows; delete it so it is rebuilt"
        ) from error
    for name, part in parts.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        content = part.SerializeToString()
        with atomic_path(paths[name]) as temporary:
            temporary.write_bytes(content)
        with atomic_path(_note_of(paths[name])) as temporary:
            temporary.write_text(hashlib.sha256(content).hexdigest(), "ascii")


def _note_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    """Whether a cached stage is as it was cut: damaged weights may load, and sound wrong."""
    try:
        return sha256_of(path) == _note_of(path).read_text("ascii")
    except (OSError, ValueError, MediaError):
        return False


def _name_the_seams(model: Any) -> None:
    """Give the cut tensors their shapes, and the harmonic source an input for noise."""
    from onnx import TensorProto, helper

    graph = model.graph
    for name, shape in _SHAPES.items():
        graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    noise = helper.make_tensor_value_info("noise", TensorProto.FLOAT, (1, "samples", 9))
    graph.input.append(noise)
    made_at = next(i for i, node in enumerate(graph.node) if _SINES in node.output)
    for node in graph.node:
        for i, source in enumerate(node.input):
            if source == _SINES:
                node.input[i] = f"{_SINES}_noisy"
    add = helper.make_node("Add", [_SINES, "noise"], [f"{_SINES}_noisy"], name="source_noise")
    graph.node.insert(made_at + 1, add)
