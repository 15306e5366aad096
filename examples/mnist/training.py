"""One method trains the network, and is measured after each pass over the training set.

The same seed gives every method the same first weights and the same order of images. A pass is
one compiled `lax.scan` over the shuffled minibatches. Images that fill no minibatch are left out,
others in each pass. The training cost is measured on 10,000 random images, the same for every
method: all 60,000 would take a third as long as the pass itself.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from examples.mnist.data import Dataset, Examples
from examples.mnist.model import MLP

MEASURED = 10_000


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How far a method has come.

    Attributes:
      passes: the passes over the training set so far; 0 before the first step.
      train_cost: the mean cross-entropy of training images; NaN once the method has diverged.
      test_error_percent: the share of misclassified images in the whole test set.
      seconds: the time of the last pass, without the measurement.
      compile_seconds: the time to compile the pass, once for the method.
      state_bytes_per_weight: the size of the optimizer's state.
    """

    passes: int
    train_cost: float
    test_error_percent: float
    seconds: float
    compile_seconds: float
    state_bytes_per_weight: float


def train(
    optimizer: optax.GradientTransformationExtraArgs,
    data: Dataset,
    *,
    passes: int,
    batch_size: int,
    seed: int,
    eval_params: Callable[[optax.OptState, optax.Params], optax.Params],
    param_dtype: Any = jnp.float32,
) -> Iterator[Measurement]:
    """Trains for a number of passes; yields a measurement before the first and after each.

    `eval_params(opt_state, params)` returns the weights to measure. The first weights are rounded
    to `param_dtype`; signals are float32.
    """
    graphdef, params = nnx.split(
        MLP(data.train.images.shape[1], data.classes, rngs=nnx.Rngs(seed))
    )
    params = jax.tree.map(lambda w: w.astype(param_dtype), params)
    opt_state = optimizer.init(params)
    state_bytes_per_weight = _bytes(opt_state) / sum(w.size for w in jax.tree.leaves(params))
    key = jax.random.key(seed)
    drawn = jax.random.permutation(key, len(data.train.labels))[:MEASURED]
    measured = jax.tree.map(lambda array: array[drawn], data.train)

    start = time.perf_counter()
    run_pass = (
        jax.jit(functools.partial(_pass, graphdef, optimizer, batch_size), donate_argnums=(0, 1))
        .lower(params, opt_state, key, data.train)
        .compile()
    )
    compile_seconds = time.perf_counter() - start

    def measure(passes: int, seconds: float) -> Measurement:
        weights = eval_params(opt_state, params)
        cost, _ = cost_and_errors(graphdef, weights, measured)
        _, errors = cost_and_errors(graphdef, weights, data.test)
        return Measurement(
            passes,
            float(cost),
            100 * int(errors) / len(data.test.labels),
            seconds,
            compile_seconds,
            state_bytes_per_weight,
        )

    yield measure(0, 0.0)
    for number in range(1, passes + 1):
        start = time.perf_counter()
        params, opt_state = jax.block_until_ready(
            run_pass(params, opt_state, jax.random.fold_in(key, number), data.train)
        )
        yield measure(number, time.perf_counter() - start)


def _pass(
    graphdef: nnx.GraphDef[MLP],
    optimizer: optax.GradientTransformationExtraArgs,
    batch_size: int,
    params: Any,
    opt_state: Any,
    key: jax.Array,
    examples: Examples,
) -> tuple[Any, Any]:
    order = jax.random.permutation(key, len(examples.labels))
    batches = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
    return descend(graphdef, optimizer, params, opt_state, examples, batches, key)


def descend(
    graphdef: nnx.GraphDef[Any],
    optimizer: optax.GradientTransformationExtraArgs,
    params: Any,
    opt_state: Any,
    examples: Examples,
    batches: jax.Array,
    key: jax.Array,
) -> tuple[Any, Any]:
    """One step for each row of `batches`, the indices of a minibatch; `key` is for dropout."""

    def step(
        carry: tuple[Any, Any], batch_and_key: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Any, Any], None]:
        params, opt_state = carry
        batch, key = batch_and_key
        minibatch = jax.tree.map(lambda array: array[batch], examples)
        cost, gradients = jax.value_and_grad(mean_cost)(params, graphdef, minibatch, key)
        updates, opt_state = optimizer.update(gradients, opt_state, params, value=cost)
        return (optax.apply_updates(params, updates), opt_state), None

    keys = jax.random.split(key, len(batches))
    return jax.lax.scan(step, (params, opt_state), (batches, keys))[0]


def mean_cost(
    params: Any,
    graphdef: nnx.GraphDef[Any],
    examples: Examples,
    key: jax.Array | None = None,
) -> jax.Array:
    """The cross-entropy; with dropout if the network has it and there is a key."""
    return _mean_cross_entropy(nnx.merge(graphdef, params)(examples.images, key), examples)


@functools.partial(jax.jit, static_argnums=0)
def cost_and_errors(
    graphdef: nnx.GraphDef[Any], params: Any, examples: Examples
) -> tuple[jax.Array, jax.Array]:
    """The mean cross-entropy, and how many images are misclassified."""
    logits = nnx.merge(graphdef, params)(examples.images)
    return (
        _mean_cross_entropy(logits, examples),
        (logits.argmax(axis=-1) != examples.labels).sum(),
    )


def _mean_cross_entropy(logits: jax.Array, examples: Examples) -> jax.Array:
    costs: jax.Array = optax.softmax_cross_entropy_with_integer_labels(logits, examples.labels)
    return costs.mean()


def _bytes(tree: Any) -> int:
    return sum(array.nbytes for array in jax.tree.leaves(tree))
