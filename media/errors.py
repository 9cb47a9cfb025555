"""Everything Wildline refuses to do, as one tree of exceptions.

    WildlineError                  one line: what, where, what to do; exit code 2
    ├── MediaError                 a file cannot be read or written as sound or picture
    │   ├── NoSoundError           footage without a sound track
    │   └── OutputError            the place to write to is missing, read-only or full
    ├── WeightsError               learned numbers missing, altered or under another licence
    │   └── EngineMissingError     an optional engine is not installed; says how to install it
    ├── TextError                  a line with nothing to speak
    ├── AlignError                 speech and words do not fit
    ├── NoSpeechError              sound in which nobody speaks
    ├── ArchiveError               recordings that cannot make a voice
    ├── NoFaceError                footage in which no face is ever found
    ├── ConsentError               no valid consent covers this use
    └── ProvenanceError            a mark or a record could not be written or does not verify

Libraries raise these with a finished sentence; the command line prints it and exits
with `exit_code`. Anything else that escapes is a bug.
"""

from __future__ import annotations

__all__ = [
    "AlignError",
    "ArchiveError",
    "ConsentError",
    "EngineMissingError",
    "MediaError",
    "NoFaceError",
    "NoSoundError",
    "NoSpeechError",
    "OutputError",
    "ProvenanceError",
    "TextError",
    "WeightsError",
    "WildlineError",
]


class WildlineError(Exception):
    """Base of every refusal. ``str(error)`` is one line fit to show a user."""

    exit_code = 2


class MediaError(WildlineError):
    """A file cannot be read or written as sound or picture."""


class NoSoundError(MediaError):
    """Footage without a sound track where sound is needed."""


class OutputError(MediaError):
    """The place to write to is missing, read-only or full."""


class WeightsError(WildlineError):
    """Learned numbers are missing, altered, or carry another licence than recorded."""


class EngineMissingError(WeightsError):
    """An optional engine is not installed; the message names the install command."""


class TextError(WildlineError):
    """A line with nothing to speak."""


class AlignError(WildlineError):
    """Speech and words do not fit."""


class NoSpeechError(WildlineError):
    """Sound in which nobody speaks."""


class ArchiveError(WildlineError):
    """Recordings that cannot make a voice."""


class NoFaceError(WildlineError):
    """Footage in which no usable face is ever found."""


class ConsentError(WildlineError):
    """No valid consent record covers this use."""


class ProvenanceError(WildlineError):
    """A mark or a record could not be written, or does not verify."""
