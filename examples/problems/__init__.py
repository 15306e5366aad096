"""Problems that are not images, for `python -m gdmethods.study examples.problems.sparse:problem`.

`README.md` has the command, the table and the verdict of each.
"""
