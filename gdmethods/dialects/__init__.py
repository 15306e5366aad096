"""The methods with the names and numbers of PyTorch, Keras and the lecture's slides.

Each function takes the argument names and defaults of its peer there, and
computes the peer's numbers, as an ordinary Optax transformation. So a training
run can be ported without tuning it again. Most map names to options of our
methods. PyTorch's SGD and RMSprop, AMSGrad and the slide's Rprop have rules of
their own.

`torch.from_state_dict` and `keras.from_variables` take over a run that has
begun, with its state; `to_state_dict` and `to_variables` are the way back.
"""

from gdmethods.dialects import keras, lecture, torch
from gdmethods.dialects._amsgrad import AMSGradState

__all__ = ["AMSGradState", "keras", "lecture", "torch"]
