"""What pyproject.toml cannot say: the presenter's film and recordings travel in the wheel.

They stay in samples/ at the top of the repository, where people look for them, and are copied to
studio/samples of the wheel, where `wildline demo` finds them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SAMPLES = Path(__file__).resolve().parent / "samples"
PATTERNS = ("presenter.mp4", "presenter.json", "consent.toml", "*.txt", "README.md", "archive/*")


class BuildWithSamples(build_py):
    """Builds the packages, then adds the sample material to `studio`."""

    def run(self) -> None:
        """Copy what PATTERNS name; an editable install reads samples/ where it is."""
        super().run()
        if self.editable_mode:
            return
        for pattern in PATTERNS:
            for file in sorted(SAMPLES.glob(pattern)):
                target = Path(self.build_lib, "studio", "samples", file.relative_to(SAMPLES))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)


setup(cmdclass={"build_py": BuildWithSamples})
