"""Train a person's voice with coqui-tts, from clips to a folder that `say` speaks with.

    trained = train_voice(Path("dataset/"), Path("voices/anna"), person="Anna", consent_id="...",
                          engine="vits", preset="gpu", steps=100_000)
    trained.voice.scores, trained.run.steps, trained.run.losses

A dataset is LJ Speech's layout (`metadata.csv` beside `wavs/`, as `wildline archive` writes it)
or any folder of recordings. VITS is trained from nothing or goes on from a checkpoint; XTTS
takes a voice from a few recordings and, with steps, trains its language model further. Called
again after it was stopped, training goes on from the last checkpoint.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
