"""Which rule is an optimizer's step?

    python -m gdmethods.testing.identify my_module:make

`identify` probes a step with gradients of sixteen decades. It looks for a rule
and numbers that give all the updates. Then it runs the factories of this rule
on gradients that were held out.
"""

from gdmethods.testing.identify._answer import Answer
from gdmethods.testing.identify._identify import identify, identify_updates

__all__ = ["Answer", "identify", "identify_updates"]
