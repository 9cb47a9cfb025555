"""A whole production at once: every cue from its line to its delivered files.

    from studio.batch import cue_results, run_batch
    from studio.production import load_production

    production = load_production(Path("production.toml"))
    report = run_batch(production, jobs=2)          # makes what is missing; again: does nothing
    for result in cue_results(production): print(result.cue.id, result.status)

Each step of a cue (takes, timing, match, shot, check, package) is a folder in `work/steps`
named by the sha256 of all that goes into it. A killed batch goes on where it was; an edit
redoes only what hangs on it; every delivery is in the ledger exactly once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
