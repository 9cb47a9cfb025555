"""The screening room: a production's cues and takes on a page, and test screenings.

    from studio.screening import Desk, Keys, make_app, serve

    desk = Desk(load_production(Path("production.toml")))
    serve(desk, Keys.kept(desk.work), host="127.0.0.1", port=8760)   # prints nothing; blocks

Editors see original and takes side by side, step through frames, circle, rate, comment,
approve, and ask for new takes. An audience has a link of its own and sees versions blind.
Nothing is served without a token, and nothing that lies outside the production.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Desk": "desk",
    "Keys": "access",
    "make_app": "server",
    "serve": "server",
    "tallies": "votes",
    "wilson": "votes",
}

__all__ = ["Desk", "Keys", "make_app", "serve", "tallies", "wilson"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"studio.screening.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
