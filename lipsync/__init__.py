"""lipsync: footage and a new sound in, the mouth re-rendered.

    from lipsync.resync import resync
    report = resync(Path("scene.mp4"), sound, timing, Path("out.mp4"))
    report.passed              # stretches that kept their mouth, with timecode and reason

`track_faces` follows one face through a clip (a record per frame, faceless ones too);
`lipsync.crop` and `lip_shape` turn it into steady mouth pictures and lip shapes in numbers;
`MotionModel` predicts those shapes from timing and sound; a `MouthRenderer` (by name:
`get_renderer`) makes the mouths; `Paster` lays them back in. `MouthModel.stream` does the same
with frames as they come. `score_lips` measures lips, `assess` a finished video beside its source.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
