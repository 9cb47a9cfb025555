"""Speech and words become words, phones and mouth shapes in time.

    from align import align_sound, speakable, transcribe, write_timing
    timing = align_sound(read_sound("speech.wav"), "We chose to go.")   # or without the text
    for word in timing.words: ...                 # Span(label, start_s, end_s, confidence)
    write_timing(timing, "speech.TextGrid")       # read_timing brings an editor's copy back

`align_file` times files of any length in little memory; `settle` makes whole what an editor
changed in one tier only; `draw_timing` makes a picture of it.
`speakable` turns written text into spoken words and phones, for the voice as well as here;
`timing_from_durations` is for synthesisers that know their timing; `visemes` has mouth
shapes and curves at any frame rate. Phones are ARPAbet without stress, silences are gaps.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
