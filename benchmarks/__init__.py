"""What is measured: scripts, each with its own `--help`; `bench.py` runs all that has a peer."""
