"""The exact law of the longest step of 8-bit Adam, for a gradient that never changes.

A step depends on two numbers that are stored: t = v^¼, and r = m/√v. Each has 8 levels an octave,
t from 2⁻²⁰ on, and r those of |r| + 2⁻¹⁰. Either goes to the upper of the two levels around its
new value with the probability of the part that is cut off. So (t, r) is a Markov chain on pairs of
levels, whose distribution is computed step by step.
"""

import numpy as np

OCTAVES = (1 + np.arange(8) / 8) * 2.0 ** np.arange(32)[:, None]
T = np.append(0, OCTAVES.ravel()[:253] * 2.0**-20)
R = (OCTAVES.ravel()[:128] - 1) * 2.0**-10


def longest_step(c, gradient=1.0, steps=300, b1=0.9, b2=0.999):
    """The probability that one step or more of a walk is above c times float32's, which is η."""
    longer = 0.0
    chance = np.zeros((len(T), len(R)))
    chance[0, 0] = 1
    for t in range(1, steps + 1):
        i, j = np.nonzero(chance)
        m = b1 * R[j] * T[i] ** 2 + (1 - b1) * gradient
        v = b2 * T[i] ** 4 + (1 - b2) * gradient**2
        following = np.zeros_like(chance)
        for new_i, of_i in around(v**0.25, T, never_0=True):
            for new_j, of_j in around(m / T[new_i] ** 2, R):
                np.add.at(following, (new_i, new_j), chance[i, j] * of_i * of_j)
        above = R * np.sqrt(1 - b2**t) / (1 - b1**t) > c
        longer += following[:, above].sum()
        following[:, above] = 0
        chance = np.where(following > 1e-18, following, 0)
    return longer


def around(x, levels, never_0=False):
    """The levels below and above, each with its probability."""
    below = np.clip(np.searchsorted(levels, x, side="right") - 1, 0, len(levels) - 2)
    up = np.clip((x - levels[below]) / (levels[below + 1] - levels[below]), 0, 1)
    if never_0:
        up, below = np.where(below == 0, 0, up), np.maximum(below, 1)
    return (below, 1 - up), (below + 1, up)
