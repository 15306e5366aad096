"""Values of the commands' options, refused by name when they are out of range."""

import argparse
import sys

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def positive(text: str) -> int:
    """A whole number from 1."""
    return _integer(text, 1, sys.maxsize)


def seed(text: str) -> int:
    """A whole number that fits 32 bits."""
    return _integer(text, 0, 2**32 - 1)


def _integer(text: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
    return number


def positive_float(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return number
