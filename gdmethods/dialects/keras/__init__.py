"""Keras 3's optimizers in Keras' words: `keras.optimizers`' argument names, defaults and numbers.

Learning rates take schedules as everywhere else; η is inside of the velocity,
as in Keras. `weight_decay` λ is decoupled: −ηₜ λ w is added to the update.
Options of Keras' base class that wrap a method (clipnorm, use_ema,
gradient_accumulation_steps, …) raise an error that says what to use instead:
Optax has each of them as a transformation to chain or wrap.

`from_variables` takes over a run that has begun, with its state, and
`to_variables` is the way back.
"""

from gdmethods.dialects.keras._optimizers import adadelta, adagrad, adam, adamw, rmsprop, sgd
from gdmethods.dialects.keras._variables import from_variables, to_variables

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "from_variables",
    "rmsprop",
    "sgd",
    "to_variables",
]
