"""Other programs beside Wildline, on the same input in the same run; see `benchmarks/bench.py`."""
