"""Sound, picture and exact time: the only code that touches a codec.

    from media import FootageWriter, probe, read_frames, read_sound

    info = probe(Path("scene.mp4"))               # rate, size, colour tags, timecode
    line = read_sound(Path("line.wav"), 48_000)   # mono float32
    with FootageWriter(Path("out.mp4"), like=info, sound=line) as writer:
        for frame in read_frames(info.path):      # index, exact pts, rgb uint8 [H, W, 3]
            writer.write(frame)

Rates and times are Fractions (`FrameRate`, `Timecode`); refusals come from `media.errors`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
