"""The methods in the words and numbers of others: PyTorch's, Keras' and the lecture's slides.

Each function takes its peer's argument names and defaults, and computes its
peer's numbers, as an ordinary Optax transformation: port a training run
without tuning it again. Most map names to options of our methods. PyTorch's SGD
and RMSprop, AMSGrad and the slide's Rprop have rules of their own.

`torch.from_state_dict` and `keras.from_variables` take over a run that has
begun, with its state; `to_state_dict` and `to_variables` are the way back.
"""

from gdmethods.dialects import keras, lecture, torch
from gdmethods.dialects._amsgrad import AMSGradState

__all__ = ["AMSGradState", "keras", "lecture", "torch"]
