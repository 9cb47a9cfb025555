"""The `wildline` command."""


def main() -> None:
    """Run the command line."""
