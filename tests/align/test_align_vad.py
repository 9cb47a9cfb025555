"""Where somebody speaks: what must hold before the model's library is there."""

from __future__ import annotations

import os
import subprocess
import sys

_ASKS = """
import os, sys

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("told:", os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watcher())
from align.vad import _session
_session()
"""


def test_the_library_is_told_to_send_nothing_before_it_is_imported() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    found = subprocess.run(
        [sys.executable, "-c", _ASKS], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["told: 1"]
