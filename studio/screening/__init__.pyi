from .access import Keys
from .desk import Desk
from .server import make_app, serve
from .votes import tallies, wilson

__all__ = [
    "Desk",
    "Keys",
    "make_app",
    "serve",
    "tallies",
    "wilson",
]
