from .build import make_dataset
from .dataset import Dataset, Row, is_dataset, read_dataset
from .settings import Settings

__all__ = [
    "Dataset",
    "Row",
    "Settings",
    "is_dataset",
    "make_dataset",
    "read_dataset",
]
