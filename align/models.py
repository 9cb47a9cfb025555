"""Give back the memory of what aligning speech loads: about 120 MB of models and dictionaries.

They are loaded when they are first wanted and stay, since the next sound mostly follows at once. A
long film is written for minutes after its last word was listened to.
"""

from __future__ import annotations

import sys

__all__ = ["forget_models"]

# (module, what it loads once and forgets by `cache_clear`); what was never imported keeps nothing.
_WORDS = (
    ("align.vad", "_detector"),
    ("align.engines.sphinx", "_decoder"),
    ("align.engines._pronunciations", "_dictionary"),
    ("align.text", "_g2p"),
)
_RECOGNISER = ("align.recognise", "recogniser")


def forget_models(*, recogniser: bool = True) -> None:
    """Forget the models, which are loaded again (1 s) as soon as they are wanted.

    Whoever uses one at this moment, in another thread, keeps it as long. `recogniser` False keeps
    that one.
    """
    for module, name in (*_WORDS, *([_RECOGNISER] if recogniser else [])):
        if module in sys.modules:
            getattr(sys.modules[module], name).cache_clear()
