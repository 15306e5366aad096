"""state_bytes against the bytes of real states, and of parts that are counted by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
from table import every_method

import gdmethods

PARAMS = {
    "kernel": jnp.ones((16, 6), jnp.float32),
    "bias": jnp.ones(8, jnp.bfloat16),
    "scale": jnp.ones((), jnp.float32),
}
WEIGHTS = 16 * 6 + 8 + 1
MESH = AbstractMesh((4, 2), ("data", "model"))


def layout(*axes):
    return NamedSharding(MESH, PartitionSpec(*axes))


def measured(state):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))


@every_method()
def test_equals_the_bytes_of_the_state(method):
    tx = method.build()
    expected = measured(tx.init(PARAMS))
    assert gdmethods.state_bytes(tx, PARAMS) == expected
    assert gdmethods.state_bytes(tx, jax.eval_shape(lambda: PARAMS)) == expected
    assert expected - WEIGHTS * method.bytes_per_weight in (0, 4, 8, 12)  # its scalars


@pytest.mark.parametrize(
    "tx",
    [
        optax.chain(optax.clip_by_global_norm(1.0), gdmethods.adam(0.1)),
        optax.inject_hyperparams(gdmethods.adam)(0.1),
        optax.masked(gdmethods.adam(0.1), {"kernel": True, "bias": False, "scale": False}),
        optax.partition(
            {"a": gdmethods.adam(0.1), "b": gdmethods.rprop()},
            {"kernel": "a", "bias": "b", "scale": "b"},
        ),
        optax.MultiSteps(gdmethods.momentum(0.1), 4),
        optax.adafactor(0.1, min_dim_size_to_factor=4),
        optax.identity(),
    ],
    ids=["chain", "injected", "masked", "partition", "MultiSteps", "adafactor", "identity"],
)
def test_of_any_transformation(tx):
    assert gdmethods.state_bytes(tx, PARAMS) == measured(tx.init(PARAMS))


def test_of_parts():
    """Two float32 a weight that is there, and a count that is everywhere."""
    tx = gdmethods.adam(0.1)
    by_rows = {"kernel": layout("data"), "bias": layout(("data", "model")), "scale": layout()}
    assert gdmethods.state_bytes(tx, PARAMS, by_rows) == 8 * (4 * 6 + 1 + 1) + 4
    mixed = {"kernel": layout("data", "model"), "bias": layout(), "scale": layout()}
    assert gdmethods.state_bytes(tx, PARAMS, mixed) == 8 * (4 * 3 + 8 + 1) + 4
    assert gdmethods.state_bytes(tx, PARAMS, layout()) == 8 * WEIGHTS + 4
    masked = optax.masked(tx, {"kernel": True, "bias": False, "scale": False})
    assert gdmethods.state_bytes(masked, PARAMS, by_rows) == 8 * 4 * 6 + 4


def test_without_sharding_parameters_have_their_own():
    params = {
        "kernel": jax.ShapeDtypeStruct((16, 6), jnp.float32, sharding=layout("data")),
        "bias": np.ones(8, np.float32),
    }
    assert gdmethods.state_bytes(gdmethods.momentum(0.1), params) == 4 * (4 * 6 + 8) + 4


def test_what_is_not_shaped_like_its_parameter_is_whole():
    """Adafactor keeps the sums over rows and over columns of a matrix, whatever its layout."""
    tx, params = optax.adafactor(0.1, min_dim_size_to_factor=4), {"kernel": jnp.ones((16, 8))}
    whole, divided = (gdmethods.state_bytes(tx, params, s) for s in (None, layout("data")))
    assert whole == divided == measured(tx.init(params))


def test_more_weights_than_a_device_could_hold():
    params = [jax.ShapeDtypeStruct((2**20, 2**20), jnp.bfloat16)]
    assert gdmethods.state_bytes(gdmethods.adam(0.1), params) == 2**43 + 4


@pytest.mark.parametrize(
    ("sharding", "error", "words"),
    [
        (PartitionSpec("data"), TypeError, ["['bias']", "PartitionSpec", "NamedSharding(mesh"]),
        (layout("model"), ValueError, ["['scale']", "()", "PartitionSpec()"]),
        (
            {"kernel": layout(None, "data"), "bias": layout(), "scale": layout()},
            ValueError,
            ["['kernel']", "(16, 6)"],
        ),
        ({"kernel": layout()}, ValueError, ["bias"]),
    ],
    ids=["a spec", "a scalar", "a remainder", "another tree"],
)
def test_a_wrong_sharding_is_named(sharding, error, words):
    with pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words))):
        gdmethods.state_bytes(gdmethods.adam(0.1), PARAMS, sharding)
