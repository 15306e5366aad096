"""The step whose rule is searched, however it is written, and its updates.

Before each step the weights are put back. So an update is what the step added
to them, and depends only on the gradients.
"""

import contextlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods._engine.transformations import is_transformation
from gdmethods.testing.identify._fit import Record, differences, largest
from gdmethods.testing.identify._probes import Array, Probe

SHAPES = (
    "A state with a fixed shape fits no other weights: start it as the number 0, or with the "
    "shape of the weights at the first step."
)
RATE = 0.01  # that a step is given which takes the learning rate as an argument


@dataclass(frozen=True)
class Arrays:
    """One kind of arrays: how to make one from numbers, read it, and put numbers back."""

    name: str
    new: Callable[[Array], Any]
    read: Callable[[Any], Array]
    put_back: Callable[[Any, Array], Any]
    scalar: bool = False


def _numpy_put_back(held: Any, numbers: Array) -> Any:
    held[...] = numbers
    return held


def _torch_arrays() -> Arrays:
    torch = sys.modules["torch"]

    def new(numbers: Array) -> Any:
        return torch.tensor(np.array(numbers))

    def read(tensor: Any) -> Array:
        return np.array(tensor.detach().numpy() if hasattr(tensor, "detach") else tensor)

    def put_back(held: Any, numbers: Array) -> Any:
        held.data.copy_(new(numbers))
        return held

    return Arrays("PyTorch tensors", new, read, put_back)


def _kinds() -> Iterator[Arrays]:
    yield Arrays("NumPy arrays", np.array, np.asarray, _numpy_put_back)
    yield Arrays("JAX arrays", jnp.asarray, np.asarray, lambda held, numbers: jnp.asarray(numbers))
    if "torch" in sys.modules:  # who writes a step for it has imported it
        yield _torch_arrays()

    def number(numbers: Array) -> float:
        return float(numbers[0])

    yield Arrays("scalars", number, np.array, lambda held, x: number(x), scalar=True)


@dataclass(frozen=True)
class Way:
    """How a step is called: with which arrays, and with a gradient or a function for one."""

    arrays: Arrays
    by_function: bool

    def __str__(self) -> str:
        return f"step(w, {'grad' if self.by_function else 'g'}) with {self.arrays.name}"


@dataclass(frozen=True)
class Walk:
    """The record of a probe, and how far from the weights the step called `grad`."""

    record: Record
    ahead: Array | None = None

    @property
    def updates(self) -> Array:
        return self.record.updates


class Subject:
    """The step that `make` builds.

    Attributes:
      takes_rate: whether the learning rate is its third argument.
      single: whether it computes in float32.
      way: how it is called.
      dtype: of the weights and gradients.
    """

    def __init__(self, make: Any, dtype: Any, probe: Probe) -> None:
        self.make, self.dtype, self.single = make, np.dtype(dtype), False
        made = _built(make)
        self.transformation: Any = made if is_transformation(made) else None
        self.takes_rate = self.transformation is None and _needed(made) == 3
        if self.transformation is None:
            self.way = self._found_way(probe)
        else:
            self.update = jax.jit(self.transformation.update)  # compiled once for all walks

    def _found_way(self, probe: Probe) -> Way:
        """The first way of calling in which a few steps work."""
        trial = Probe("the probe", probe.gradients[:3], ())
        raised = None
        for arrays in _kinds():
            for by_function in (False, True):
                way = Way(arrays, by_function)
                try:
                    with _quiet():
                        self._walk(
                            way, trial, np.zeros(trial.gradients.shape[1]), np.full(3, RATE)
                        )
                    return way
                except Exception as error:  # whatever the step raises in a way that is not its own
                    raised = raised or error
                    wants_function = "not callable" in str(error)
                    if by_function or not wants_function:
                        break
        assert raised is not None
        raise raised

    def walk(self, probe: Probe, weights: Any = 0.0, rates: Array | None = None) -> Walk:
        """The updates; the weights are put back before each step."""
        w = np.array(np.broadcast_to(weights, probe.gradients.shape[1:]), float)
        rates = np.full(len(probe.gradients), RATE) if rates is None else rates
        with _quiet():
            if self.transformation is not None:
                return self._walk_transformation(probe, w)
            return self._walk(self.way, probe, w, rates)

    def _walk_transformation(self, probe: Probe, w: Array) -> Walk:
        with jax.enable_x64(True):
            params = jnp.asarray(w, self.dtype)
            state, updates = self.transformation.init(params), []
            for k, g in enumerate(probe.gradients):
                with _named(f"update, at step {k + 1} of {probe.name}"):
                    u, state = self.update(jnp.asarray(g, self.dtype), state, params)
                updates.append(np.asarray(u, float))
        return Walk(Record(probe.gradients, np.stack(updates)))

    def _walk(self, way: Way, probe: Probe, w: Array, rates: Array) -> Walk:
        if not way.arrays.scalar:
            return self._walk_arrays(way, probe, w, rates)
        walks = []
        for j in range(len(w)):
            column = Probe(probe.name, probe.gradients[:, j : j + 1], probe.courses[j : j + 1])
            walks.append(self._walk_arrays(way, column, w[j : j + 1], rates))
        updates = np.concatenate([x.updates for x in walks], 1)
        ahead = [x.ahead for x in walks if x.ahead is not None]
        return Walk(Record(probe.gradients, updates), np.concatenate(ahead, 1) if ahead else None)

    def _walk_arrays(self, way: Way, probe: Probe, w: Array, rates: Array) -> Walk:
        step, arrays, start = self.make(), way.arrays, w.astype(self.dtype)
        held, updates, ahead = arrays.new(start), [], []
        with jax.enable_x64(True):
            for k, g in enumerate(probe.gradients.astype(self.dtype)):
                held = arrays.put_back(held, start)
                asked: list[Any] = []

                def grad(at: Any, g: Array = g, asked: list[Any] = asked) -> Any:
                    asked.append(arrays.read(at) - start)
                    return arrays.new(g)

                with _named(f"{way}, at step {k + 1} of {probe.name}" + _on(arrays, probe)):
                    given = grad if way.by_function else arrays.new(g)
                    new = step(held, given, *([float(rates[k])] if self.takes_rate else []))
                result = arrays.read(held if new is None else new)
                if result.shape != (() if arrays.scalar else start.shape):
                    raise ValueError(
                        f"{way} returned shape {result.shape} for weights of shape "
                        f"{() if arrays.scalar else start.shape}. {SHAPES}"
                    )
                updates.append(result.reshape(start.shape).astype(float) - start)
                if asked:
                    ahead.append(np.asarray(asked[-1], float).reshape(start.shape))
        record = Record(probe.gradients, np.stack(updates))
        return Walk(record, np.stack(ahead) if len(ahead) == len(updates) else None)

    def refuse_noise(self, probe: Probe, walk: Walk) -> None:
        """Raises an error if a newly built step gives the same gradients other updates."""
        few = Probe(probe.name, probe.gradients[:20], probe.courses)
        again, before = self.walk(few).updates, walk.updates[:20]
        off = differences(before, again) > 1e-6
        if off.any():
            k, j = np.argwhere(off)[0]
            raise ValueError(
                "two steps that make() built give equal gradients different updates, "
                f"{before[k, j]:.6g} and {again[k, j]:.6g} at step {k + 1}. identify needs a step "
                "without noise, whose state make() begins anew."
            )

    def in_float32(self, probe: Probe) -> bool:
        """Whether all new weights are numbers of float32."""
        if self.dtype == np.float32:
            return True
        few = Probe(probe.name, probe.gradients[:6], probe.courses)
        updates = self.walk(few, 0.7).updates
        new = updates[np.isfinite(updates) & (updates != 0)]
        single = (0.7 + new).astype(np.float32)
        return len(new) > 0 and largest(np.abs(single.astype(float) - 0.7 - new)) < 1e-15


def _built(make: Any) -> Any:
    """What make returns; raises an error unless make is a function that builds a step."""
    wanted = (
        "make must be a function without arguments that returns step(w, g), step(w, g, lr), "
        "step(w, grad), or an Optax transformation"
    )
    if is_transformation(make):
        raise TypeError(f"{wanted}, and is a transformation. Write lambda: before it.")
    if not callable(make):
        raise TypeError(f"{wanted}, and is {make!r}.")
    with contextlib.suppress(ValueError):  # it has no signature to look at
        try:
            inspect.signature(make).bind()
        except TypeError as error:
            name = getattr(make, "__name__", "make")
            hint = f"lambda: {name}" if _needed(make) in (2, 3) else f"lambda: {name}(…)"
            raise TypeError(f"{wanted}; of {name} there is {error}. Write {hint}.") from None
    made = make()
    if is_transformation(made):
        return made
    if not callable(made):
        raise TypeError(f"{wanted}, and returned {made!r}.")
    if _needed(made) not in (2, 3):
        raise TypeError(f"{wanted}, and returned one that takes {_needed(made)} arguments.")
    return made


def _needed(step: Any) -> int:
    """How many arguments a step must be given."""
    try:
        parameters = inspect.signature(step).parameters.values()
    except ValueError:
        return 2
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = sum(p.kind in places and p.default is inspect.Parameter.empty for p in parameters)
    variable = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return max(needed, 2) if variable else needed


def _on(arrays: Arrays, probe: Probe) -> str:
    if arrays.scalar and probe.courses:
        name, size = probe.courses[0]
        return f", gradients {name} of size {size:.1g}"
    return ""


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Adds to an error of the step how it was called."""
    try:
        yield
    except Exception as error:
        error.add_note(f"identify called {what}.")
        if "shape" in str(error) or "broadcast" in str(error):
            error.add_note(SHAPES)
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings: a step may divide by 0 in some probes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
