"""Entry point."""


def main() -> None:
    """Placeholder until the first command lands in this file."""
