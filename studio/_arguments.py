"""What the command line is given, looked at before any command begins."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from media.errors import MediaError

__all__ = ["check_arguments"]


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse names that no record could hold, and pipes and devices where files belong.

    A pipe would be waited for, a device read without end, or replaced by an output. Raises
    `MediaError`.
    """
    for text in _texts(arguments):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise MediaError(
                f"the name {text!a} is not UTF-8; rename that file or folder"
            ) from error
        try:
            mode = Path(text).stat().st_mode
        except (OSError, ValueError):
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise MediaError(f"'{text}' is a pipe or a device; name a file")


def _texts(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, and the values in `--option=value`."""
    for argument in arguments:
        yield argument
        if argument.startswith("--") and "=" in argument:
            yield argument.partition("=")[2]
