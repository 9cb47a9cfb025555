"""lipsync.training: a person's own footage in, a trained face for the mouthnet out.

    sources = [BankSource(path, track, timing, sound), ...]
    face = train_face(sources, Path("faces/anna"), preset="cpu", person="Anna Example")
    face.card.scores          # psnr, ssim, lip_error on frames not learnt from, and of copying

`data` lets the mouthbank draw every frame of the footage from other footage, as it would in a
new scene, and keeps drawing and truth on disk. `judge` learns to read lips from crops: lip
shape, the phonemes that go with it, and features for the losses (`losses`). `loop` trains,
checkpoints, resumes and keeps the best by a held-out score; `show` draws previews and curves.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
