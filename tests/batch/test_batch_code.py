"""A step whose code changed is made anew: its version goes up, or somebody says it need not."""

from __future__ import annotations

from pathlib import Path

import batch_code
import pytest

from studio.batch.plan import VERSION_OF

ADVICE = (
    "the code of step '{step}' is not what version {version} stands for: raise the version of "
    "'{step}' in studio/batch/plan.py or, when outputs are the same, leave it; either way renew "
    "the digest with: .venv/bin/python tests/batch/batch_code.py"
)


def test_every_step_has_its_code() -> None:
    assert list(batch_code.ROOTS) == list(VERSION_OF) == list(batch_code.kept())
    for roots in batch_code.ROOTS.values():
        assert all(batch_code._file(r) or (batch_code.ROOT / r).is_file() for r in roots)


@pytest.mark.parametrize("step", VERSION_OF)
def test_a_version_stands_for_its_code(step: str) -> None:
    version = VERSION_OF[step]
    now = (version, batch_code.digest_of(step))
    assert now == batch_code.kept()[step], ADVICE.format(step=step, version=version)


@pytest.mark.parametrize(
    ("step", "inside", "outside"),
    [
        ("voice", "voice/_fit_channel.py", "voice/match.py"),
        ("takes", "voice/engines/xtts.py", "voice/fit.py"),
        ("takes", "align/engines/_fusion.py", "lipsync/resync.py"),
        ("match", "voice/acoustics.py", "voice/takes.py"),
        ("shot", "lipsync/_ear.py", "voice/takes.py"),
        ("shot", "media/writer.py", "studio/cli.py"),
        ("timing", "align/formats.py", "align/engines/nnet.py"),
    ],
)
def test_imports_are_followed(step: str, inside: str, outside: str) -> None:
    names = {str(p.relative_to(batch_code.ROOT)) for p in batch_code.files_of(step)}
    assert inside in names
    assert outside not in names


def test_words_for_people_do_not_count(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text, "utf-8")
        return batch_code._digest(path)

    plain = "def f(x):\n    return x + 1\n"
    assert digest(plain) == digest('"""Doc."""\ndef f(x):  # why\n    """Doc."""\n    return x+1\n')
    assert digest(plain) != digest(plain.replace("1", "2"))
