"""Voices with layers of their own: both engines do the same with them, folders keep them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from align.text import speakable
from media.errors import WeightsError
from voice.engines.kokoro import KokoroSynthesizer, _TorchStages
from voice.voice import Manner, Voice, load_voice

LINE = speakable("We went.")


@pytest.fixture(scope="module")
def layered(kokoro_model, stock_voice) -> Voice:
    """Every layer's style pushed a little at random."""
    rng = np.random.default_rng(1)
    layers = {}
    for name, layer in kokoro_model.layers.items():
        shift = 0.08 * rng.standard_normal(128).astype(np.float32)
        layers[name] = layer.fc.weight.numpy() @ shift
    return replace(stock_voice, name="layered", layers=MappingProxyType(layers))


def levels(samples: np.ndarray) -> np.ndarray:
    """Log energy of 24 bands over the whole line."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return np.log([band.sum() for band in np.array_split(power, 24)])


def test_both_engines_change_the_same_layers_alike(
    engine, kokoro_model, layered, stock_voice
) -> None:
    pytorch = KokoroSynthesizer()
    pytorch.__dict__["_stages"] = _TorchStages(kokoro_model)
    plain, changed = (engine.speak(LINE, v).sound.samples for v in (stock_voice, layered))
    again = pytorch.speak(LINE, layered).sound.samples
    same = pytorch.speak(LINE, stock_voice).sound.samples
    # int8 and float32 are apart by themselves; the layers move both by more, the same way.
    ours, theirs = (levels(a) - levels(b) for a, b in ((changed, plain), (again, same)))
    assert np.abs(ours).max() > 0.2
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    pytorch.speak(LINE, layered)
    # The next voice without layers is itself again, in both.
    np.testing.assert_array_equal(engine.speak(LINE, stock_voice).sound.samples, plain)
    assert all(layer.extra is not None for layer in kokoro_model.layers.values())
    pytorch.speak(LINE, stock_voice)
    assert all(layer.extra is None for layer in kokoro_model.layers.values())


def test_layers_that_add_nothing_change_nothing(engine, layered, stock_voice) -> None:
    zeros = MappingProxyType({k: np.zeros_like(v) for k, v in layered.layers.items()})
    same = engine.speak(LINE, replace(stock_voice, layers=zeros)).sound.samples
    np.testing.assert_array_equal(same, engine.speak(LINE, stock_voice).sound.samples)


def test_layers_of_another_engine_are_refused(engine, kokoro_model, stock_voice) -> None:
    foreign = replace(stock_voice, layers={"decode.9.norm1": np.zeros(4, np.float32)})
    pytorch = KokoroSynthesizer()
    pytorch.__dict__["_stages"] = _TorchStages(kokoro_model)
    for synthesizer in (engine, pytorch):
        with pytest.raises(WeightsError, match=r"a layer '?decode\.9\.norm1'? that its engine"):
            synthesizer.speak(LINE, foreign)
    short = replace(stock_voice, layers={"encode.norm1": np.zeros(4, np.float32)})
    with pytest.raises(WeightsError, match=r"encode\.norm1"):
        engine.speak(LINE, short)


def test_a_folder_keeps_layers_and_manners(layered, tmp_path: Path) -> None:
    prosody = np.linspace(-1, 1, 128, dtype=np.float32)
    manner = Manner(prosody, 41.25, 7, MappingProxyType({"f0_hz": 212.5}))
    voice = replace(layered, name="anna", manners=MappingProxyType({"higher-faster": manner}))
    voice.save(tmp_path / "anna")
    back = load_voice(tmp_path / "anna")
    assert set(back.layers) == set(layered.layers)
    np.testing.assert_array_equal(back.layers["encode.norm1"], layered.layers["encode.norm1"])
    assert back.manners["higher-faster"].measures == {"f0_hz": 212.5}
    assert back.manners["higher-faster"].clips == 7
    urgent = back.delivered("higher-faster")
    np.testing.assert_array_equal(urgent.style[:128], back.style[:128])
    np.testing.assert_array_equal(urgent.style[128:], prosody)
    with pytest.raises(WeightsError, match="no delivery 'warm'; it has: higher-faster"):
        back.delivered("warm")


def test_a_manner_of_the_wrong_size_is_refused(stock_voice) -> None:
    manner = Manner(np.zeros(5, np.float32), 1.0, 1, {})
    with pytest.raises(WeightsError, match="not 128 finite numbers"):
        replace(stock_voice, manners={"odd": manner})


def test_a_voice_that_speaks_keeps_its_numbers_when_others_are_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its session reads them where they lie, and another thread may open the last voice of all."""
    import gc
    import weakref

    from voice.engines import kokoro_graphs

    class Numbers(dict[str, object]):
        """As `_changed` gives them, but to be watched."""

    opened: list[weakref.ref[Numbers]] = []
    still_there: list[bool] = []

    def changed(_path: Path, layers: dict[str, np.ndarray]) -> Numbers:
        numbers = Numbers(layers)
        opened.append(weakref.ref(numbers))
        return numbers

    class Session:
        def run(self, *_: object) -> list[np.ndarray]:
            mine = opened[-1]
            for k in range(kokoro_graphs._VOICES):
                stages._layered({"other": np.full(2, k, np.float32)})
            gc.collect()
            still_there.append(mine() is not None)
            return [np.zeros(600, np.float32)]

    monkeypatch.setattr(kokoro_graphs, "_changed", changed)
    monkeypatch.setattr(kokoro_graphs, "_session", lambda *_: Session())
    stages = kokoro_graphs.OnnxStages(None, None, None, Path("sound.onnx"), 1)
    curve = np.zeros(2, np.float32)
    layers = {"own": np.ones(2, np.float32)}
    stages.sound(np.zeros((1, 512), np.float32), curve, curve, np.zeros((1, 256)), None, layers)
    assert still_there == [True]
