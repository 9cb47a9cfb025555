from .consent import Consent, load_consent, save_consent
from .credentials import read_credentials, sign
from .ledger import Ledger
from .provenance import Papers
from .scene import resync
from .speaking import fit, say
from .verify import verify_file
from .watermark import detect

__all__ = [
    "Consent",
    "Ledger",
    "Papers",
    "detect",
    "fit",
    "load_consent",
    "read_credentials",
    "resync",
    "save_consent",
    "say",
    "sign",
    "verify_file",
]
