"""The methods in the words and numbers of others: PyTorch's, Keras' and the lecture's slides.

Each function takes its peer's argument names and defaults, and computes its
peer's numbers, as an ordinary Optax transformation: port a training run
without tuning it again. None holds an update rule of its own; it maps names,
and picks options of the one implementation in the method's file.
"""

from gdmethods.dialects import keras, lecture, torch

__all__ = ["keras", "lecture", "torch"]
