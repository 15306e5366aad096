"""From a function that converts weights: a map of elements, which converts slots there and back.

To port a network, a user writes `convert`, from the peer's named arrays to the
tree of parameters here. It transposes, reshapes, splits and joins, and the
elements of a slot move in the same way. `Conversion` numbers the elements and
sends their numbers through `convert`. The result shows where each element came
from, and so the way back.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.trees import Path, at_path
from gdmethods._numbers.dtypes import promoted

Named: TypeAlias = Mapping[str, np.ndarray]
Convert: TypeAlias = Callable[[dict[str, Any]], optax.Params]

_DIGIT = 8  # bits, which every floating-point dtype of weights holds


class Conversion:
    """Which element of the named arrays each element of the tree is.

    Arguments:
      named: the peer's arrays, in its order.
      convert: from a dict of such arrays to the tree.

    Attributes:
      tree: what `convert` makes of `named`.
      shapes: of the named arrays.

    Raises:
      ValueError: `convert` drops elements, or computes with them, or adds some.
    """

    def __init__(self, named: Named, convert: Convert) -> None:
        try:
            self.tree = convert(dict(named))
        except Exception as error:
            error.add_note(f"convert was given NumPy arrays under the names {', '.join(named)}.")
            raise
        self.shapes = {name: x.shape for name, x in named.items()}
        self._ends = np.cumsum([x.size for x in named.values()], dtype=np.int64)
        self._size = sum(x.size for x in named.values())
        self._places = self._sent_through(named, convert)
        self._check(named)

    def _sent_through(self, named: Named, convert: Convert) -> dict[Path, np.ndarray]:
        """The flat place of each element of the tree, by the path of its leaf; -1 for none.

        A number is sent in digits, since `convert` may cast to a dtype as narrow as bfloat16.
        """
        leaves = jax.tree.leaves_with_path(self.tree)
        places = [np.full(np.shape(x), -1) for _, x in leaves]  # a sum of 0 stands for no element
        valid = [np.ones(np.shape(x), bool) for _, x in leaves]
        for shift in range(0, self._size.bit_length(), _DIGIT):
            digits = (np.arange(1, self._size + 1) >> shift) % 2**_DIGIT
            sent = {name: x.astype(named[name].dtype) for name, x in self._split(digits).items()}
            for i, leaf in enumerate(jax.tree.leaves(convert(sent))):
                digit = np.nan_to_num(np.asarray(leaf).real.astype(np.float32), nan=-1.0)
                valid[i] &= (digit == digit.round()) & (digit >= 0) & (digit < 2**_DIGIT)
                places[i] += np.where(valid[i], digit, 0).astype(np.int64) << shift
        return {
            path: np.where(ok & (place < self._size), place, -1)
            for (path, _), place, ok in zip(leaves, places, valid, strict=True)
        }

    def _check(self, named: Named) -> None:
        flat, kept = self.flat(named), np.zeros(self._size, bool)
        for path, leaf in jax.tree.leaves_with_path(self.tree):
            places, leaf = self._places[path], np.asarray(leaf)
            came = flat[places] if self._size else leaf
            real = not np.iscomplexobj(leaf)
            expected = (came.real if real else came).astype(leaf.dtype)
            same = (expected == leaf) | (np.isnan(expected) & np.isnan(leaf))
            if real:
                same &= came.imag == 0
            self._places[path] = places = np.where(same, places, -1)
            kept[places[places >= 0]] = True
        if not kept.all():
            raise ValueError(
                f"convert drops elements of {self._name(kept.argmin())!r}, or computes with them. "
                "It may transpose, reshape, split, join, repeat and cast the arrays, so that it "
                "can convert the optimizer's state as well."
            )
        for path, places in self._places.items():
            if (places < 0).any():
                raise ValueError(
                    f"The parameter {at_path(path)} has elements that convert was not given. "
                    "Leave out parameters that the optimizer does not move, or pass their arrays."
                )

    def _split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(flat, self._ends[:-1])
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def flat(self, named: Named) -> np.ndarray:
        """All elements in one vector of float32 or wider; 0 for those of absent arrays."""
        arrays = [
            wide(named[name]).reshape(-1)
            if name in named
            else np.zeros(math.prod(shape), np.float32)
            for name, shape in self.shapes.items()
        ]
        return np.concatenate([*arrays, np.zeros(0, np.float32)])

    def to_tree(self, named: Named, start: Any) -> Any:
        """A tree of named arrays, in float32 or wider.

        Arguments:
          named: arrays of the shapes of the weights; some may be absent.
          start: a tree of the same leaves or of some of them; it gives the
            elements of absent arrays.
        """
        flat = self.flat(named)
        present = self.flat({name: np.ones(self.shapes[name]) for name in named}) > 0

        def leaf(path: Path, start: Any) -> Any:
            places = self._of_shape(path, jnp.shape(start))
            start, came = map(jnp.asarray, (start, flat[places]))
            came = came if jnp.iscomplexobj(start) else came.real
            dtype = promoted(came.dtype, start.dtype)
            return jnp.where(present[places], came.astype(dtype), start.astype(dtype))

        return jax.tree.map_with_path(leaf, start)

    def to_named(self, leaves: Mapping[Path, Any]) -> dict[str, np.ndarray]:
        """Named arrays of these leaves of a tree, in float32 or wider.

        Raises:
          ValueError: copies of one element differ, or not all elements of an
            array are there.
        """
        arrays = {path: wide(np.asarray(leaf)) for path, leaf in leaves.items()}
        dtype = np.result_type(np.float32, *arrays.values())
        flat = np.zeros(self._size, dtype)
        present, is_complex = np.zeros((2, self._size), bool)
        for path, x in arrays.items():
            places = self._of_shape(path, x.shape)
            flat[places], present[places], is_complex[places] = x, True, np.iscomplexobj(x)
        for path, x in arrays.items():
            copies = flat[self._places[path]]
            differ = (copies != x) & ~(np.isnan(copies) & np.isnan(x))
            if differ.any():
                name = self._name(self._places[path][differ][0])
                raise ValueError(
                    f"convert repeats elements of {name!r}, and {at_path(path)} they now differ "
                    "from their copies. Give all copies the sum of their gradients, so that they "
                    "stay the same."
                )
        whole, named, has_imaginary = map(self._split, (present, flat, is_complex))
        for name, there in whole.items():
            if there.any() and not there.all():
                raise ValueError(
                    f"convert splits {name!r} between parameters that tx does not treat alike, "
                    "and the peer keeps one state for it. Give its parts the same label."
                )
        return {
            name: named[name] if has_imaginary[name].any() else named[name].real
            for name, there in whole.items()
            if there.all()
        }

    def names(self, leaves: Mapping[Path, Any]) -> list[str]:
        """The arrays that have elements in these leaves, or none at all, in the peer's order."""
        places = [self._of_shape(path, jnp.shape(x)).ravel() for path, x in leaves.items()]
        owners = np.searchsorted(self._ends, np.concatenate([*places, np.zeros(0, int)]), "right")
        there = np.bincount(owners, minlength=len(self.shapes))
        elements = zip(self.shapes.items(), there, strict=True)
        return [name for (name, shape), found in elements if found or 0 in shape]

    def _name(self, place: Any) -> str:
        return [*self.shapes][int(np.searchsorted(self._ends, place, "right"))]

    def _of_shape(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        if path not in self._places or self._places[path].shape != shape:
            there = self._places[path].shape if path in self._places else None
            raise ValueError(
                f"A leaf {at_path(path)} has the shape {shape}, and convert makes "
                f"{'nothing' if there is None else f'the shape {there}'} there. Pass the "
                "parameters that convert makes, and their state without a wrapper that changes "
                "shapes, such as optax.flatten."
            )
        return self._places[path]


def wide(x: np.ndarray) -> np.ndarray:
    """In float32 or wider."""
    return x.astype(np.result_type(np.float32, x.dtype), copy=False)


def array(x: Any) -> np.ndarray:
    """A NumPy array, also from a tensor of PyTorch or a variable of Keras."""
    if not hasattr(x, "detach"):
        return np.asarray(x)
    x = x.detach().cpu()
    if str(x.dtype) == "torch.bfloat16":  # which NumPy lacks
        return np.asarray(x.float().numpy()).astype(jnp.bfloat16)
    return np.asarray(x.numpy())


def like(template: Any, x: Any) -> Any:
    """x in the template's dtype; as a tensor or a number if the template is one."""
    if hasattr(template, "new_tensor"):
        return template.new_tensor(np.asarray(x))
    if isinstance(template, int | float):
        return type(template)(x)
    return np.asarray(x, array(template).dtype)
