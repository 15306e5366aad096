"""Which method for *your* problem: tuned equally, repeated with new seeds, compared fairly.

A `Problem` is a model, a loss and data. `python -m gdmethods.study
my_problem:problem` compares the methods on it, and leaves a report; `study`
does the same in a notebook. Needs the extra `study`.
"""

try:
    import jinja2 as _jinja2  # noqa: F401
    import matplotlib as _matplotlib  # noqa: F401
    import rich as _rich  # noqa: F401
    import scipy as _scipy  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'gdmethods.study needs {error.name}: pip install "gdmethods[study]".'
    ) from error

from gdmethods.study.problem import Problem, ProblemError
from gdmethods.study.studies import Study, study

__all__ = ["Problem", "ProblemError", "Study", "study"]
