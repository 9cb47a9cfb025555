"""A production: consent, the four jobs, provenance, and the `wildline` command.

    from studio import fit, say, verify_file
    from studio.redub import redub

    fit(Path("recordings"), Path("voices/anna"), consent=Path("consent.toml"))
    say("We chose to go.", "voices/anna", Path("line.wav"), consent=Path("consent.toml"))
    redub(scene, "We chose to go.", out, voice="voices/anna", consent=Path("consent.toml"))
    for sentence in verify_file(out).sentences(): ...

Nothing runs without a consent record that covers it, and nothing is delivered without a
watermark, Content Credentials, a row in the disclosure sheet and a line in the ledger.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
