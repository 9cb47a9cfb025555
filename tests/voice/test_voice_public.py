"""The public face of the room."""

from __future__ import annotations

import subprocess
import sys

import pytest

import voice


def test_every_public_name_exists():
    assert sorted(voice.__all__) == voice.__all__
    for name in voice.__all__:
        assert getattr(voice, name).__doc__


def test_other_names_do_not():
    with pytest.raises(AttributeError):
        _ = voice.nothing_of_the_kind


def test_importing_it_loads_no_engine():
    heavy = "torch", "onnxruntime", "onnx", "librosa", "faster_whisper"
    code = f"import sys, voice; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
