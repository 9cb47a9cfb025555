"""The ctc engine on emissions that are known, and on a tiny checkpoint of the real structure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from align_line import Line

from align.engines import get_aligner
from align.engines.ctc import CtcAligner, spelled_words
from align.text import speakable
from media.audio import Sound
from media.errors import AlignError, EngineMissingError, WeightsError

LETTERS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4} | {
    c: i + 5 for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
}


def test_letters_are_found_where_they_peak() -> None:
    """-, A, -, B, B, |, C, - with C twice: peaks in known frames."""
    heard = [0, 5, 0, 6, 6, 4, 7, 0, 7, 0]
    chances = torch.full((len(heard), len(LETTERS)), 1e-4)
    chances[torch.arange(len(heard)), torch.tensor(heard)] = 0.99
    words = spelled_words(chances.log(), [[5, 6], [], [7, 7]], 0, 4)
    assert [(w.start, w.stop) for w in words] == [(1, 5), (5, 5), (6, 9)]
    assert words[0].score == pytest.approx(np.log(0.99), abs=1e-3)
    assert words[1].score < -5


def test_too_many_letters_are_refused() -> None:
    with pytest.raises(AlignError, match="letters"):
        spelled_words(torch.zeros(3, 32).log_softmax(-1), [[5, 5, 5]], 0, None)


@pytest.fixture(scope="module", params=["group", "layer"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random wav2vec 2.0 model, small in every dimension, in the published layout."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=request.param,
        do_stable_layer_norm=request.param == "layer",
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("wav2vec2")
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(LETTERS))
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    return folder


def test_a_local_checkpoint_aligns_every_word(checkpoint: Path, line: Line) -> None:
    aligner = CtcAligner(checkpoint, device="cpu")
    assert aligner.licence == "apache-2.0"
    short = line.sound.cut(0, 2.5), speakable("Peter put the big boat back")
    one = aligner.align(line.sound, line.script)
    assert [w.label for w in one.words] == [w.label for w in line.exact.words]
    assert len(one.phones) == len(line.exact.phones)
    assert one.engine == "ctc"
    assert one.phones[-1].end_s <= one.duration_s
    # Company in a batch changes nothing.
    both = aligner.align_batch([(line.sound, line.script), short])
    assert [w.label for w in both[1].words] == ["Peter", "put", "the", "big", "boat", "back"]
    starts = [[w.start_s for w in t.words] for t in (one, both[0])]
    np.testing.assert_allclose(starts[0], starts[1], atol=0.03)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="needs a model"):
        get_aligner("ctc")
    with pytest.raises(EngineMissingError, match="neither a folder"):
        CtcAligner(tmp_path / "nowhere", device="cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"vocab\.json"):
        CtcAligner(tmp_path, device="cpu")


def test_too_short_a_sound_is_refused(checkpoint: Path, line: Line) -> None:
    with pytest.raises(AlignError, match="cannot be spoken"):
        CtcAligner(checkpoint, device="cpu").align(
            Sound(np.zeros(8000, np.float32), 16000), line.script
        )
