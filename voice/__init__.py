"""Text to speech in a person's voice.

    from voice import fit_voice, load_voice, say, save_take

    voice = fit_voice(["recordings/"], out, person=..., consent_id=...)   # minutes, on a CPU
    voice = load_voice("voices/anna")            # or load_voice("stock:" + stock_voices()[0])
    takes = say("We chose to go, and we went.", voice, takes=3, seed=7)   # best first
    save_take(takes[0], Path("line.wav"))        # 48 kHz WAV, line.json with words and phones
    laid = match_sound(takes[0].sound, scene)           # into a scene's room, band and noise

A take knows exactly when each phone sounds, because the engine that made it does; the lips
are driven by that. Marks direct a line ("We *chose* [pause 0.4] to go."), `guide=` follows an
actor, `Prosody(duration_s=3.2)` fits a length; `measure_delivery` says how it came out.
"""

import lazy_loader

from voice._compiled_code import keep_compiled_code

keep_compiled_code()  # before anything here brings numba in
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
