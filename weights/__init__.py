"""Every file of learned numbers: where it comes from, its licence, its SHA-256.

    from weights import all_weights, best_device, describe, locate

    model = locate("kokoro-onnx")        # a checked path; assembled in the cache once
    describe("kokoro-onnx").licence      # "Apache-2.0"
    [w.name for w in all_weights()]      # everything that can be asked for
    best_device()                        # "cuda", "mps" or "cpu"; WILDLINE_DEVICE overrides

A file that is missing or altered is refused with the command that mends it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
