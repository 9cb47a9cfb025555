from .acoustics import measure_acoustics
from .delivery import compare_delivery, measure_delivery
from .engines import Synthesizer, Utterance, get_synthesizer
from .fit import fit_voice
from .match import match_sound
from .prosody import Prosody
from .takes import Take, TakeScores, save_take, say, say_pieces
from .voice import Voice, VoiceScores, load_voice, stock_voices

__all__ = [
    "Prosody",
    "Synthesizer",
    "Take",
    "TakeScores",
    "Utterance",
    "Voice",
    "VoiceScores",
    "compare_delivery",
    "fit_voice",
    "get_synthesizer",
    "load_voice",
    "match_sound",
    "measure_acoustics",
    "measure_delivery",
    "save_take",
    "say",
    "say_pieces",
    "stock_voices",
]
