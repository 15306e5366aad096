"""Stochastic rounding to bfloat16, and its noise, in Python's integers and fractions."""

from fractions import Fraction

import numpy as np

WORD = 2**32


def bits(x):
    """Of the nearest number of bfloat16, halves away from 0, above 16 zeros."""
    return (int(np.float32(x).view(np.uint32)) + 2**15) >> 16 << 16


def scrambled(x):
    """The finaliser of MurmurHash3 (A. Appleby, public domain)."""
    x = (x ^ x >> 16) * 0x85EBCA6B % WORD
    x = (x ^ x >> 13) * 0xC2B2AE35 % WORD
    return x ^ x >> 16


def noise(count, slot, gradient, weight, stored=None):
    """16 bits, of the count's multiply-add hash of the magnitudes."""
    x = bits(abs(gradient)) ^ slot * 0x9E3779B9 % WORD
    w = bits(abs(weight))
    x ^= (w << 17 | w >> 15) % WORD
    if stored is not None:
        x ^= bits(abs(stored)) >> 3
    a = scrambled(count * 0x9E3779B9 % WORD)
    b = scrambled((a + 0x6A09E667) % WORD)
    return (x * (a | 1) + b) % WORD >> 16


def rounded(x, noise):
    """x is exact: to the neighbour away from 0 if the noise and the part that is cut off carry."""
    x = Fraction(x)
    if x == 0:
        return x
    exponent = max(_floor_log2(abs(x)), -126)
    unit = Fraction(2) ** (exponent - 7)
    whole, rest = divmod(abs(x), unit)
    up = rest / unit + Fraction(noise, 2**16) >= 1
    return (1 if x > 0 else -1) * (whole + up) * unit


def _floor_log2(x):
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= x else exponent - 1
