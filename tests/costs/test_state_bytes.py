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
        optax.flatten(gdmethods.adam(0.1)),
        optax.lbfgs(),
        optax.scale_by_backtracking_linesearch(5),
        optax.sm3(0.1),
        optax.identity(),
    ],
    ids=[
        "chain", "injected", "masked", "partition", "MultiSteps", "adafactor", "flatten", "lbfgs",
        "linesearch", "sm3", "identity",
    ],
)  # fmt: skip
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


def test_one_vector_of_all_parameters_is_whole():
    tx = optax.flatten(gdmethods.adam(0.1))
    assert gdmethods.state_bytes(tx, PARAMS, layout()) == 8 * WEIGHTS + 4
    assert (
        gdmethods.state_bytes(tx, [jnp.ones((16, 6), jnp.float32)], layout("data"))
        == 8 * 16 * 6 + 4
    )


def test_a_memory_of_many_steps_is_whole():
    """Of L-BFGS the last weights and gradient are divided; its pairs and their factors are not."""
    tx = optax.scale_by_lbfgs(memory_size=5)
    divided = gdmethods.state_bytes(tx, {"w": jnp.ones((16, 6), jnp.float32)}, layout("data"))
    factors = 5 * jnp.zeros(()).itemsize
    assert divided == 4 * (2 * 4 * 6 + 2 * 5 * 16 * 6) + factors + 4


def test_real_and_imaginary_parts_are_divided():
    tx = optax.contrib.split_real_and_imaginary(gdmethods.momentum(0.1))
    params = {"c": jnp.ones((16, 6), jnp.complex64), "r": jnp.ones(8, jnp.float32)}
    assert gdmethods.state_bytes(tx, params) == measured(tx.init(params))
    assert gdmethods.state_bytes(tx, params, layout("data")) == 4 * (2 * 4 * 6 + 2) + 4


def test_lookahead():
    """Its state is that of the fast parameters, and a count."""
    tx = optax.lookahead(gdmethods.momentum(0.1), sync_period=5, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced({"kernel": jnp.ones((16, 6), jnp.float32)})
    assert gdmethods.state_bytes(tx, params) == measured(tx.init(params))
    assert gdmethods.state_bytes(tx, params, layout("data")) == 4 * 4 * 6 + 4 + 4


def test_parameters_of_like_names():
    """A leaf of the state belongs to the parameter of its whole path, not of a part of it."""
    params = {"kernel": PARAMS["bias"], "layer": {"kernel": PARAMS["bias"]}}
    layouts = {"kernel": layout("data"), "layer": {"kernel": layout()}}
    assert gdmethods.state_bytes(gdmethods.momentum(0.1), params, layouts) == 4 * (2 + 8) + 4


def test_parameters_of_like_places():
    """The first member of a chain is not the first parameter."""
    tx = optax.chain(gdmethods.momentum(0.1), optax.identity())
    params, layouts = [PARAMS["bias"], PARAMS["bias"]], [layout("data"), layout()]
    assert gdmethods.state_bytes(tx, params, layouts) == 4 * (2 + 8) + 4


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PARAMS, gdmethods.adam(0.1)), ["order", "state_bytes(tx, params)"]),
        ((gdmethods.adam, PARAMS), ["got adam", "adam(1e-3)"]),
        ((None, PARAMS), ["got NoneType", "gdmethods.adam(1e-3)"]),
    ],
    ids=["swapped", "a factory", "nothing"],
)
def test_what_is_no_transformation_is_named(arguments, words):
    with pytest.raises(TypeError, match=".*".join(map(re.escape, ["tx must be", *words]))):
        gdmethods.state_bytes(*arguments)


@pytest.mark.parametrize("init", [lambda w: float(w.sum()), np.asarray], ids=["float", "NumPy"])
def test_a_state_that_depends_on_values_is_refused(init):
    tx = optax.GradientTransformation(init, optax.identity().update)
    with pytest.raises(TypeError, match=r"The init of tx .*tx\.init\(params\)"):
        gdmethods.state_bytes(tx, jnp.ones(3))
