"""step_bytes against bytes counted by hand; `make accelerators` asks the real compilers."""

import importlib.metadata

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gdmethods
from gdmethods._costs import compiler_processes
from gdmethods._costs.hlo import Traffic, traffic

W = {"kernel": jax.ShapeDtypeStruct((256, 64), jnp.float32)}
NARROW = {"kernel": jax.ShapeDtypeStruct((256, 64), jnp.bfloat16)}
WEIGHTS = 256 * 64


def test_sgd_reads_weight_and_gradient_and_writes_the_weight():
    step = gdmethods.step_bytes(gdmethods.sgd(0.1), W)
    assert step == gdmethods.StepBytes(1, 12 * WEIGHTS, 12 * WEIGHTS, step.temporaries, 0, None)
    assert step.temporaries < 1024  # scalars


@pytest.mark.parametrize(
    ("tx", "params", "options", "least"),
    [
        (gdmethods.adam(0.1), W, {}, 28),
        (gdmethods.adam(0.1), NARROW, {}, 22),
        (gdmethods.adam(0.1), NARROW, {"gradient_dtype": jnp.float32}, 24),
        (gdmethods.with_float32_master(gdmethods.adam(0.1)), NARROW, {}, 26),
        (gdmethods.rprop(variant="irprop+"), W, {"value": 0.5}, 22),
        (optax.adam(0.1, mu_dtype=jnp.bfloat16), W, {}, 24),
        (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), W, {}, 12),
    ],
)
def test_the_least_by_hand(tx, params, options, least):
    step = gdmethods.step_bytes(tx, params, **options)
    assert step.least == least * WEIGHTS
    assert step.moved >= step.least


def test_a_second_pass_over_the_gradient_shows():
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    plain, more = (gdmethods.step_bytes(tx, W) for tx in (optax.sgd(0.1), clipped))
    assert more.kernels > plain.kernels
    assert more.moved >= plain.moved + 4 * WEIGHTS


def test_a_function_among_the_extra_arguments():
    """Such as a line search takes; it is no input of the step."""
    tx = optax.chain(optax.sgd(0.1), optax.scale_by_backtracking_linesearch(2))
    w = jax.ShapeDtypeStruct((8,), jnp.float32)
    step = gdmethods.step_bytes(tx, w, value=1.0, grad=w, value_fn=lambda w: jnp.sum(w**2))
    assert step.kernels > 1


PROGRAM = """
%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %i = s32[] get-tuple-element(%p), index=0
  %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  ROOT %t = (s32[], f32[8]{0}) tuple(%i, %y)
}

%small (a: f32[100]) -> f32[100] {
  %a = f32[100]{0} parameter(0)
  ROOT %n = f32[100]{0} negate(%a)
}

%none (b: f32[100]) -> f32[100] {
  ROOT %b = f32[100]{0} parameter(0)
}

ENTRY %main (w: bf16[100], g: f32[100], k: s8[7], c: s32[]) -> (f32[100], f32[8]) {
  %w = bf16[100]{0:T(256)(128)(2,1)} parameter(0)
  %g = f32[100]{0:T(256)} parameter(1)
  %k = s8[7]{0} parameter(2)
  %c = s32[] parameter(3)
  %one = s32[] add(%c, %c)
  %start = (f32[100]{0:T(256)S(1)}, f32[100]{0:T(256)}, u32[]{:S(2)}) copy-start(%g)
  %near = f32[100]{0:T(256)S(1)} copy-done(%start)
  %front = ((bf16[100]{0}), bf16[60]{0:S(1)}, s32[]{:S(2)}) slice-start(%w), slice={[0:60]}
  %back = ((bf16[100]{0}), bf16[40]{0:S(1)}, s32[]{:S(2)}) slice-start(%w), slice={[60:100]}
  %front.near = bf16[60]{0:S(1)} slice-done(%front)
  %back.near = bf16[40]{0:S(1)} slice-done(%back)
  %w.near = bf16[100]{0:S(1)} custom-call(%front.near, %back.near), \
custom_call_target="ConcatBitcast"
  %two = (f32[100]{0}, /*index=1*/f32[8]{0}) fusion(%w.near, %near, %k, %one), calls=%f, \
backend_config={"estimated_cycles":"40"}
  %far = f32[100]{0} get-tuple-element(%two), index=0
  %state = f32[8]{0} get-tuple-element(%two), index=1
  %init = (s32[], f32[8]{0}) tuple(%c, %state)
  %loop = (s32[], f32[8]{0}) while(%init), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"5"}}
  %out = f32[8]{0} get-tuple-element(%loop), index=1
  %choice = f32[100]{0} conditional(%c, %far, %far), branch_computations={%none, %small}
  %begun = ((f32[100]{0}), f32[100]{0}) all-reduce-start(%choice), to_apply=%sum
  %sum = f32[100]{0} all-reduce-done(%begun)
  ROOT %result = (f32[100]{0}, f32[8]{0}) tuple(%sum, %out)
}
"""


def test_a_program_counted_by_hand():
    copied_in = 400 + 120 + 80  # g, and w in two slices
    fused = 7 + 400 + 32  # k; far, state: what is near lies on the chip
    looped = 5 * (32 + 32)
    chosen = 400 + 400
    reduced = 400 + 400
    assert traffic(PROGRAM) == Traffic(
        kernels=1 + 5 + 1 + 1,
        moved=copied_in + fused + looped + chosen + reduced,
        communicated=400,
        cycles=40,
    )


def test_what_is_not_there():
    big = NamedSharding(AbstractMesh((64,), ("data",)), PartitionSpec("data"))
    with pytest.raises(ValueError, match=r"mesh of 64 devices, and JAX has .* name one: v5e"):
        gdmethods.step_bytes(gdmethods.sgd(0.1), W, big)
    with pytest.raises(ValueError, match="device must be one of 'v5e'"):
        gdmethods.step_bytes(gdmethods.sgd(0.1), W, device="v1")
    with pytest.raises(TypeError, match=r"write step_bytes\(tx, params\)"):
        gdmethods.step_bytes(W, gdmethods.sgd(0.1))
    other = {"kernel": NamedSharding(AbstractMesh((2,), ("data",)), PartitionSpec()), "b": big}
    with pytest.raises(ValueError, match="one mesh"):
        gdmethods.step_bytes(gdmethods.sgd(0.1), {**W, "b": W["kernel"]}, other)


@pytest.mark.parametrize(
    ("device", "installed", "complaint"),
    [
        ("v5e", {"flatbuffers": "1"}, f'pip install "jax[tpu]=={jax.__version__}"'),
        ("h100", {"flatbuffers": "1"}, "jax-cuda13-plugin, jax-cuda13-pjrt, nvidia-cuda-nvcc, nv"),
        ("v5e", {"libtpu": "0.0.1", "flatbuffers": "1"}, "libtpu 0.0.1 does not fit jax"),
    ],
)
def test_a_compiler_that_is_not_there(monkeypatch, device, installed, complaint):
    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(compiler_processes.importlib.metadata, "version", version)
    compiler_processes.compiler.cache_clear()
    with pytest.raises(ImportError) as error:
        gdmethods.step_bytes(gdmethods.sgd(0.1), W, device=device)
    assert complaint in str(error.value)
