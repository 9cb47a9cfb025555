"""The screening room: a production's cues and takes on a page, and test screenings.

    from studio.screening import Desk, Keys, make_app, serve

    desk = Desk(load_production(Path("production.toml")))
    serve(desk, Keys.kept(desk.work), host="127.0.0.1", port=8760)   # prints nothing; blocks

Editors see original and takes side by side, step through frames, circle, rate, comment,
approve, and ask for new takes. An audience has a link of its own and sees versions blind.
Nothing is served without a token, and nothing that lies outside the production.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
