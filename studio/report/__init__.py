"""One page about a whole run, with everything in it: fit to be sent by mail.

    write_report(load_production(Path("production.toml")), Path("report.html"))

Contact sheets of original and result, waveforms with phones, spectra against the production
sound, scores against the objectives, takes and who approved them, consent, disclosure and
the ledger. Pictures are inside the page, which loads nothing and runs nothing. It stays
below a size: what fails its objectives is shown first, and the page says what it left out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
