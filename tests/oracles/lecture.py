"""The slides, letter by letter: what they print, weight by weight, but for what would not descend.

Each takes the gradients ∂E/∂w(t), t = 1, 2, …, of one weight, and gives the displacements Δw(t).
"""

from collections.abc import Sequence
from math import sqrt


def momentum(dE: Sequence[float], eta: float, gamma: float) -> list[float]:
    Dw = [0.0]
    for t in range(1, len(dE) + 1):
        Dw.append(gamma * Dw[t - 1] - eta * dE[t - 1])
    return Dw[1:]


def adaptive_gains(dE: Sequence[float], eta: float, low: float, high: float) -> list[float]:
    g, Dw = [1.0], []
    for t in range(len(dE)):
        if t > 0:
            g.append(g[t - 1] + 0.05 if dE[t - 1] * dE[t] > 0 else 0.95 * g[t - 1])
            g[t] = min(max(g[t], low), high)
        Dw.append(-eta * g[t] * dE[t])
    return Dw


def adagrad(dE: Sequence[float], eta: float, eps: float) -> list[float]:
    Dw = []
    for t in range(1, len(dE) + 1):
        alpha = sum(dE[k - 1] ** 2 for k in range(1, t + 1))
        Dw.append(-eta / sqrt(alpha + eps) * dE[t - 1])
    return Dw


def adadelta(dE: Sequence[float], eta: float, beta: float, eps: float) -> list[float]:
    s, Dw = [0.0], []
    for t in range(1, len(dE) + 1):
        s.append(beta * s[t - 1] + (1 - beta) * dE[t - 1] ** 2)  # ∂E/∂w^t, not ^{t−1}
        Dw.append(-eta / sqrt(s[t] + eps) * dE[t - 1])
    return Dw


def rprop(dE: Sequence[float], eta: float) -> list[float]:
    g, Dw = [1.0], []
    for t in range(len(dE)):
        if t > 0:
            g.append(g[t - 1] * 1.2 if dE[t - 1] * dE[t] > 0 else g[t - 1] * 0.5)
        Dw.append(-eta * g[t] * ((dE[t] > 0) - (dE[t] < 0)))
    return Dw


def rmsprop(dE: Sequence[float], eta: float, beta: float, eps: float) -> list[float]:
    s, Dw = [0.0], []
    for t in range(1, len(dE) + 1):
        s.append(beta * s[t - 1] + (1 - beta) * dE[t - 1] ** 2)
        Dw.append(-eta * dE[t - 1] / sqrt(s[t] + eps))
    return Dw


def adam(dE: Sequence[float], eta: float, beta1: float, beta2: float, eps: float) -> list[float]:
    m, D, Dw = [0.0], [0.0], []
    for t in range(1, len(dE) + 1):
        m.append(beta1 * m[t - 1] + (1 - beta1) * dE[t - 1])
        m_hat = m[t] / (1 - beta1)
        D.append(beta2 * D[t - 1] + (1 - beta2) * dE[t - 1] ** 2)
        D_hat = D[t] / (1 - beta2)
        Dw.append(-eta * m_hat / sqrt(D_hat + eps))
    return Dw
