"""Checksums of what the numbers of a run depend on: data, and what functions compute.

A function is known by its jaxpr, so that one that was edited is not taken for the old one, and one
that was only moved or renamed is.
"""

import functools
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from gdmethods.study.dry_step import first_batch
from gdmethods.study.problem import Problem


def problem_crc32(problem: Problem) -> int:
    """Of the data and of what the functions of the problem compute.

    Of a problem that makes its own batches, the first batch stands for the data that train; if it
    is another one each time, whatever the key, nothing does.
    """
    key, batch = jax.random.key(0), first_batch(problem)
    params, state = jax.eval_shape(problem.first, key)
    train = problem.train
    if problem.batches and data_crc32(batch) == data_crc32(first_batch(problem)):
        train = batch
    crc = data_crc32((train, problem.validation, problem.test))
    for function, arguments in (
        (problem.first, (key,)),
        (problem.stateful_loss, (params, state, batch, key)),
        (functools.partial(problem.stateful_loss, key=None), (params, state, batch)),
        (problem.measured, (params, state, batch)),
    ):
        crc = function_crc32(function, *arguments, crc=crc)
    return crc


def data_crc32(data: Any, crc: int = 0) -> int:
    """Of the arrays in a tree, with their shapes and dtypes."""
    for leaf in jax.tree.leaves(data):
        array = np.asarray(leaf)
        crc = zlib.crc32(f"{array.shape} {array.dtype}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
    return crc


def function_crc32(function: Callable[..., Any], *arguments: Any, crc: int = 0) -> int:
    """Of what a function computes from arguments like these, and of its constants."""
    jaxpr = jax.make_jaxpr(function)(*arguments)
    without_addresses = re.sub(r"0x[0-9a-f]+", "", str(jaxpr))
    return data_crc32(list(_constants(jaxpr)), zlib.crc32(without_addresses.encode(), crc))


def _constants(part: Any) -> Iterator[Any]:
    """The arrays that a jaxpr is closed over, at any depth."""
    if isinstance(part, list | tuple):
        for entry in part:
            yield from _constants(entry)
    else:
        yield from getattr(part, "consts", ())
        for equation in getattr(part, "eqns", ()):
            yield from _constants(list(equation.params.values()))
