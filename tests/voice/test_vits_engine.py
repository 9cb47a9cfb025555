"""The VITS engine on tiny random checkpoints: its durations, its alphabets, its refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.phones import _LETTERS
from align.text import speakable
from media.errors import EngineMissingError, TextError, WeightsError
from media.files import sha256_of
from voice.engines import get_synthesizer
from voice.engines._coqui import accepted_licence, licence_of, open_checkpoint, read_state
from voice.engines._coqui_text import MISAKI_LETTERS, MISAKI_PUNCTUATION, Reading, reading
from voice.engines._coqui_timing import character_frames, timing_of_characters, whole_frames
from voice.prosody import Prosody, WordWishes
from voice.training.presets import PRESETS
from voice.voice import STYLE_SIZE, Voice, WeightsUsed, load_voice

LINE = "In 1963, we chose to go; then we went home."
HOP, RATE = 256, 16_000


def make_checkpoint(folder: Path, **changes: object) -> Path:
    """A tiny VITS with random weights in `folder`/model, config fields changed as given."""
    import torch
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits

    from voice.engines._coqui import save_state
    from voice.training.vits_setup import _new_config

    config = _new_config(PRESETS["tiny"])
    values = {**json.loads(config.to_json()), **changes}
    built = VitsConfig()
    built.from_dict({**values, "use_phonemes": False, "phonemizer": None})
    built.model_args.init_discriminator = False
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = Vits(built)
    model = folder / "model"
    model.mkdir(parents=True)
    save_state(net.state_dict(), model / "model.safetensors")
    (model / "config.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("vits") / "anna")


@pytest.fixture(scope="module")
def engine():
    from voice.engines.vits import VitsSynthesizer

    return VitsSynthesizer(device="cpu")


def a_voice(folder: Path) -> Voice:
    """A voice whose card names the weights that lie in its folder now."""
    weights = sorted(p for p in (folder / "model").glob("*") if p.suffix != ".json")
    rows = tuple(WeightsUsed(p.name, sha256_of(p), "own", "model") for p in weights)
    style = np.zeros(STYLE_SIZE)
    return Voice("anna", style, engine="vits", person="Anna", weights=rows, folder=folder)


@pytest.fixture(scope="module")
def voice(folder: Path) -> Voice:
    return a_voice(folder)


@pytest.fixture(scope="module")
def said(engine, voice):
    return engine.speak(speakable(LINE), voice)


# --- timing ------------------------------------------------------------------------------


def test_durations_are_the_sound(said) -> None:
    assert said.sound.rate == RATE
    assert said.frame_s == HOP / RATE
    assert int(said.durations.sum()) * HOP == len(said.sound)
    assert len(said.durations) == len(speakable(LINE).kokoro) + 2
    assert said.timing.duration_s == pytest.approx(float(said.sound.duration_s))
    assert said.timing.engine == "exact"


def test_words_and_phones_are_those_of_the_script(said) -> None:
    script = speakable(LINE)
    assert [w.label for w in said.timing.words] == [
        script.words[first].written for first, _ in script.written_words()
    ]
    assert [p.label for p in said.timing.phones] == [p.rstrip("012") for p in script.phones]
    assert {p.confidence for p in said.timing.phones} == {1.0}


def test_phones_lie_where_the_models_own_tokens_lie(engine, voice, said) -> None:
    """The same durations added up by hand, straight from the network."""
    from voice.engines import vits

    model = engine._model(voice)
    plan = vits._planned(model, speakable(LINE), Prosody(), 0)
    frames = vits._paced(plan)
    own, before = {}, 0.0
    for position, count in zip(plan.positions, frames, strict=True):
        if position >= 0:
            own[position] = (before, before + count)
        before += count
    for chars, span in zip(speakable(LINE).phone_chars(), said.timing.phones, strict=True):
        first, last = own[chars.start][0], own[chars.end - 1][1]
        assert span.start_s <= first * said.frame_s + 1e-6
        assert span.end_s >= last * said.frame_s - 1e-6


def test_blanks_are_shared_by_their_neighbours() -> None:
    script = speakable("a")
    script = dataclasses.replace(script, kokoro="ab", word_of=(0, 0))
    frames = np.array([1.0, 2.0, 4.0, 3.0, 5.0])
    found = character_frames(script, Reading("ab", (0, 1)), (-1, 0, -1, 1, -1), frames)
    np.testing.assert_array_equal(found, [1.0, 4.0, 5.0, 5.0])


@given(st.lists(st.floats(0.01, 40.0), min_size=1, max_size=80))
def test_whole_frames_keep_sum_and_boundaries(values: list[float]) -> None:
    frames = np.array(values)
    frames = frames * (np.ceil(frames.sum()) / frames.sum())
    whole = whole_frames(frames)
    assert whole.sum() == round(frames.sum())
    assert np.abs(np.cumsum(whole) - np.cumsum(frames)).max() <= 0.5 + 1e-6
    assert (whole >= 0).all()


@given(st.lists(st.integers(0, 12), min_size=40, max_size=40))
def test_any_durations_make_a_timing(counts: list[int]) -> None:
    script = speakable("We chose to go, and we went.")
    frames = np.array((counts * 2)[: len(script.kokoro) + 2], np.float64)
    frames[0] += 1
    timing = timing_of_characters(script, frames, 0.016)
    assert [w.label for w in timing.words] == ["We", "chose", "to", "go", "and", "we", "went"]
    assert timing.phones[-1].end_s <= timing.duration_s + 1e-9


# --- directing ---------------------------------------------------------------------------


def test_the_same_seed_says_the_same(engine, voice, said) -> None:
    import torch

    before = torch.random.get_rng_state()
    again = engine.speak(speakable(LINE), voice)
    np.testing.assert_array_equal(again.sound.samples, said.sound.samples)
    assert torch.equal(before, torch.random.get_rng_state())
    other = engine.speak(speakable(LINE), voice, Prosody(seed=1))
    assert not np.array_equal(other.durations, said.durations)


def test_a_wished_length_is_met_to_the_frame(engine, voice, said) -> None:
    for factor in (0.8, 1.4):
        wished = factor * float(said.sound.duration_s)
        made = engine.speak(speakable(LINE), voice, Prosody(duration_s=wished))
        assert abs(float(made.sound.duration_s) - wished) <= said.frame_s
        assert int(made.durations.sum()) * HOP == len(made.sound)


def test_a_length_nobody_can_speak_is_refused(engine, voice) -> None:
    with pytest.raises(TextError, match=r"cannot be spoken in 0\.10 s"):
        engine.speak(speakable(LINE), voice, Prosody(duration_s=0.1))


def test_speed_pauses_and_stress(engine, voice, said) -> None:
    fast = engine.speak(speakable(LINE), voice, Prosody(speed=1.5))
    assert len(fast.sound) < len(said.sound)
    words = WordWishes(pauses=((5, 0.5), (0, 0.2)))
    held = engine.speak(speakable(LINE), voice, Prosody(words=words))
    added = round(0.5 / held.frame_s) + round(0.2 / held.frame_s)
    assert len(held.sound) == len(said.sound) + added * HOP
    assert int(held.durations.sum()) * HOP == len(held.sound)
    assert held.timing.words[0].start_s == pytest.approx(
        said.timing.words[0].start_s + 0.2, abs=held.frame_s
    )
    gap = held.timing.words[3].start_s - held.timing.words[2].end_s
    assert max(gap, held.timing.words[4].start_s - held.timing.words[3].end_s) >= 0.45
    loud = engine.speak(speakable(LINE), voice, Prosody(words=WordWishes(frozenset({4}))))
    assert len(loud.sound) > len(said.sound)


def test_long_texts_come_in_pieces_that_join(engine, voice) -> None:
    script = speakable("The river was high. " * 24)
    parts = list(engine.speak_pieces(script, voice))
    whole = engine.speak(script, voice)
    assert len(parts) > 1
    assert sum(len(p.sound) for p in parts) == len(whole.sound)
    assert int(whole.durations.sum()) * HOP == len(whole.sound)
    assert len(whole.timing.words) == 4 * 24


def test_wishes_that_only_kokoro_grants_are_refused(engine, voice) -> None:
    with pytest.raises(TextError, match="cannot be moved in pitch"):
        engine.speak(speakable(LINE), voice, Prosody(semitones=2))


def test_takes_can_be_made_with_any_engine(voice, monkeypatch) -> None:
    from voice.takes import say

    assert get_synthesizer("vits").name == "vits"
    takes = say("Home.", voice, takes=2, score=False)
    assert [t.engine for t in takes] == ["vits", "vits"]
    assert [w.label for w in takes[0].timing.words] == ["Home"]
    assert takes[1].made["lean"] == 0.0


# --- alphabets ---------------------------------------------------------------------------


def test_every_sound_that_align_writes_has_a_token() -> None:
    assert set(_LETTERS) | set("ˈˌː") <= set(MISAKI_LETTERS)
    assert len(set(MISAKI_LETTERS + MISAKI_PUNCTUATION)) == len(MISAKI_LETTERS + MISAKI_PUNCTUATION)


GRAPHEMES = {
    "phonemizer": None,
    "text_cleaner": "english_cleaners",
    "characters": {
        "characters_class": "TTS.tts.models.vits.VitsCharacters",
        "pad": "_",
        "characters": "abcdefghijklmnopqrstuvwxyz'",
        "punctuations": "!,.? ",
        "phonemes": "",
    },
}
ESPEAK = {
    "use_phonemes": True,
    "phonemizer": "espeak",
    "phoneme_language": "en-us",
    "text_cleaner": "phoneme_cleaners",
    "characters": {
        "characters_class": "TTS.tts.models.vits.VitsCharacters",
        "pad": "_",
        "characters": "abcdefghijklmnopqrstuvwxyz",
        "punctuations": ';:,.!?¡¿—…"«»“” ',
        "phonemes": "ɑɐɒæɔɕçðəɘɚɛɜɟɡɥɨɪɯŋɲɴøɵɸθœɹɾʀʁʂʃʈʉʊʋʌɣɤʍʎʏʑʐʒʔˈˌːᵻ",
    },
}


def test_letters_are_read_where_the_config_says_so(engine, tmp_path: Path) -> None:
    script = speakable("In 1963, Dr. King spoke.")
    read = reading(script, GRAPHEMES)
    assert read.characters == "in nineteen sixty three, doctor king spoke."
    said = engine.speak(script, a_voice(make_checkpoint(tmp_path / "v", **GRAPHEMES)))
    assert [w.label for w in said.timing.words] == ["In", "1963", "Dr.", "King", "spoke"]
    assert {w.confidence for w in said.timing.words} == {1.0}
    assert {p.confidence for p in said.timing.phones} == {0.5}  # letters are not sounds
    assert int(said.durations.sum()) * HOP == len(said.sound)


def test_published_phoneme_models_are_read_without_espeak(engine, tmp_path: Path) -> None:
    script = speakable("My boy chose five.")
    assert reading(script, ESPEAK).characters == "mˌaɪ bˈɔɪ tʃˈoʊz fˈaɪv."
    said = engine.speak(script, a_voice(make_checkpoint(tmp_path / "v", **ESPEAK)))
    assert [w.label for w in said.timing.words] == ["My", "boy", "chose", "five"]
    assert "phonemizer" not in sys.modules


def test_a_script_without_one_known_character_is_refused(engine, tmp_path: Path) -> None:
    greek = {**GRAPHEMES, "characters": {**GRAPHEMES["characters"], "characters": "αβγ"}}
    with pytest.raises(TextError, match="has no characters for"):
        engine.speak(speakable("Hello."), a_voice(make_checkpoint(tmp_path / "v", **greek)))


# --- wrong checkpoints -------------------------------------------------------------------


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch " + os.environ["EVIL"],)


def _config(model: Path, /, **changes: object) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _cut(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _evil(model: Path) -> None:
    import torch

    (model / "model.safetensors").unlink()
    torch.save({"model": {"a": torch.zeros(1)}, "more": _Evil()}, model / "model.pth")


def _cut_pickle(model: Path) -> None:
    import torch

    (model / "model.safetensors").unlink()
    torch.save({"model": {"a": torch.zeros(10_000)}}, model / "model.pth")
    data = (model / "model.pth").read_bytes()
    (model / "model.pth").write_bytes(data[: len(data) // 2])


def _other_size(model: Path) -> None:
    values = json.loads((model / "config.json").read_text())
    _config(model, model_args={**values["model_args"], "hidden_channels": 48})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "there is no checkpoint"),
        (lambda m: (m / "config.json").unlink(), "has no config.json"),
        (lambda m: (m / "config.json").write_text("{"), "cannot be read"),
        (lambda m: (m / "config.json").write_text("[]"), "no configuration"),
        (lambda m: _config(m, model="tacotron2"), "of the kind 'tacotron2', not 'vits'"),
        (lambda m: _config(m, model_args={"num_chars": "many"}), "does not fit this model"),
        (lambda m: _config(m, characters={"characters_class": "os.system"}), "is not run"),
        (lambda m: _config(m, use_speaker_embedding=True), "several voices"),
        (lambda m: (m / "model.safetensors").unlink(), "has no weights"),
        (lambda m: (m / "model.safetensors").write_bytes(b""), "is damaged"),
        (_cut, "is damaged"),
        (_cut_pickle, "is damaged"),
        (_evil, "holds more than weights"),
        (_other_size, "do not fit the model"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    engine, folder: Path, tmp_path: Path, spoil, message: str, monkeypatch
) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    copy = tmp_path / "anna"
    shutil.copytree(folder, copy)
    spoil(copy / "model")
    with pytest.raises(WeightsError, match=message) as caught:
        engine.speak(speakable(LINE), a_voice(copy))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_a_trainers_checkpoint_is_read_as_it_is(engine, folder: Path, tmp_path: Path) -> None:
    """Optimiser, numbers and discriminator around the weights; the newest of several."""
    import torch

    copy = tmp_path / "anna"
    shutil.copytree(folder, copy)
    state = read_state(copy / "model" / "model.safetensors", "vits")
    (copy / "model" / "model.safetensors").unlink()
    whole = {"model": {**state, "disc.x": torch.zeros(1)}, "optimizer": [{"a": 1}], "step": 9}
    torch.save(whole, copy / "model" / "checkpoint_900.pth")
    torch.save({"model": {}}, copy / "model" / "best_model_20.pth")
    assert open_checkpoint(copy / "model", "vits").weights.name == "checkpoint_900.pth"
    np.testing.assert_array_equal(
        engine.speak(speakable(LINE), a_voice(copy)).sound.samples,
        engine.speak(speakable(LINE), a_voice(folder)).sound.samples,
    )


def test_another_persons_model_in_the_folder_is_refused(
    engine, folder: Path, tmp_path: Path
) -> None:
    """Also what a stopped retraining leaves: the old card, the new model."""
    copy = tmp_path / "anna"
    shutil.copytree(folder, copy)
    start = WeightsUsed("vits (bo)", "0" * 64, "own")
    card = a_voice(copy)
    dataclasses.replace(card, weights=(*card.weights, start)).save(copy)
    voice = load_voice(copy)
    assert [w.part for w in voice.weights] == ["model", ""]
    engine.speak(speakable("Home."), voice)
    path = copy / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a whole file of weights, of somebody else
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is not the model that the card of voice 'anna'"):
        engine.speak(speakable("Home."), voice)
    # The checkpoint that the voice was trained from is another person too.
    other = dataclasses.replace(voice, weights=(WeightsUsed("bo", sha256_of(path), "own"),))
    with pytest.raises(WeightsError, match="train the voice again"):
        engine.speak(speakable("Home."), other)


def test_a_voice_without_a_folder_is_refused(engine) -> None:
    bare = dataclasses.replace(a_voice(Path("x")), folder=None)
    with pytest.raises(WeightsError, match="no folder with a checkpoint"):
        engine.speak(speakable(LINE), bare)


def test_a_missing_package_names_its_install_command(monkeypatch) -> None:
    from voice.engines._coqui import quietly_imported

    monkeypatch.setitem(sys.modules, "TTS.tts.models.vits", None)
    with pytest.raises(EngineMissingError, match="pip install"):
        quietly_imported("vits")


@pytest.mark.parametrize(
    ("name", "text", "licence"),
    [
        ("LICENSE.txt", "Coqui Public Model License 1.0.0", "cpml"),
        ("LICENSE", "Apache License\nVersion 2.0", "apache-2.0"),
        ("README.md", "---\nlicense: cc-by-nc-4.0\n---", "cc-by-nc"),
        ("README.md", "---\nlicense: mit\n---\nA voice.", "mit"),
        ("notes.txt", "mit license", "unknown"),
        ("README.md", "---\nlicense: cc-by-4.0\n---", "cc-by"),
        ("README.md", "---\nlicense: cc-by-nd-4.0\n---", "cc-by-nd"),
        ("README.md", "---\nlicense: cc-by-sa-4.0\n---", "cc-by-sa"),
        ("LICENSE", "Creative Commons Attribution-NoDerivatives 4.0", "cc-by-nd"),
        ("LICENSE", "Creative Commons Attribution-ShareAlike 4.0", "cc-by-sa"),
        ("LICENSE", "Creative Commons Attribution 4.0 International", "cc-by"),
        ("README.md", "Trained on LJ Speech, which is in the public domain.", "unknown"),
        ("LICENSE", "This work is released into the public domain.", "cc0"),
        ("COPYING", "GNU General Public License: occasionally and noncommercially", "gpl"),
    ],
)
def test_a_folder_states_its_licence(tmp_path: Path, name: str, text: str, licence: str) -> None:
    (tmp_path / name).write_text(text)
    assert licence_of(tmp_path, "vits") == licence
    assert licence_of(tmp_path, "xtts") == "cpml"  # all of them are derived from Coqui's
    if licence in ("cc-by-nd", "cc-by-sa"):
        with pytest.raises(WeightsError, match=f"--accept-licence {licence}"):
            accepted_licence(licence, None, "the checkpoint")
