"""From a box of tapes to a dataset: `wildline archive IN... -o DATASET`.

    from voice.ingest import Settings, make_dataset, read_dataset
    made = make_dataset([Path("tapes/")], Path("anna"), Settings(repair="auto"))
    print(made.report())
    rows = read_dataset(Path("anna"))           # clips with words, grades and where they come from

Every recording is streamed twice: once to be measured (`survey`: hum, clicks, clipping, noise,
room), once to be cut at its pauses, repaired where that was asked for or is needed (`repair`) and
written down (`words`). Then all clips together: whose voice it is (`speakers`), what is there
twice (`duplicates`), how good it is (`grading`). What falls out keeps its reason. A dataset is a
folder in the manner of LJ Speech, with a manifest and a page to look at (`report`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
