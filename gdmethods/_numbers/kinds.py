"""What a field of a state keeps."""

import enum


class Kind(enum.Enum):
    """What a field of a state keeps."""

    COUNT = "updates so far"
    NUMBER = "one number for all weights"
    SIGNED = "a number for each weight, complex where the weight is"
    POSITIVE = "a positive factor for each weight"
    SQUARE = "a mean or sum of squared magnitudes for each weight"
    SIGN = "-1, 0 or 1 for each weight"
