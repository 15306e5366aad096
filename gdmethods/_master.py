"""Float32 master weights: what a narrow weight would lose, a wider copy of it keeps.

An update of less than half a unit in the last place of its weight is lost when
the two are added: less than 2⁻⁹ to 2⁻⁸ of a bfloat16 weight, whatever the
method and however often it comes. So the copy gathers the updates, and the
weight is its rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._hyperparameters import transformation
from gdmethods._slots import require_state
from gdmethods._trees import at_path, serializable


@serializable
class Float32MasterState(NamedTuple):
    """State of `with_float32_master`.

    Attributes:
      master: the weights in float32; a tree like the parameters,
        `optax.MaskedNode()` in the place of those that are no narrower and
        serve themselves.
      inner_state: of the wrapped transformation, made for the float32 weights.
    """

    master: optax.Params
    inner_state: optax.OptState


def with_float32_master(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Any transformation on a float32 copy of bfloat16 and float16 parameters.

        Mₜ₊₁ = Mₜ + Δₜ(gₜ, Mₜ),    M₁ = w₁ in float32
        uₜ = rounded(Mₜ₊₁) − wₜ

    `inner` is given the master weights M and the gradients in float32, so that
    its accumulators, its weight decay and its updates Δ are float32 too. The
    update u takes the parameters w that you hold to M's rounding. Parameters
    of float32 and wider, and complex ones, keep no copy and are `inner`'s
    affair.

    Wrap the whole optimizer, and let nothing scale the updates after it: M
    would not hear of it. M is what trains. A parameter that is written by hand
    is overwritten with M's rounding by the next update; write `master` of the
    state as well.

    u has the parameter's dtype. It is exact, and with it w + u = rounded(M),
    where a weight keeps its sign and is no more than doubled or halved
    (Sterbenz). A larger move may leave w beside it, by 2⁻⁷ of that move in
    bfloat16 and 2⁻¹⁰ in float16; M is not, and the next update starts from
    there.

    Arguments:
      inner: an optimizer, of gdmethods, Optax or one's own.

    Returns:
      A transformation with the state `Float32MasterState`: 4 bytes for each
      bfloat16 or float16 weight more than `inner` keeps of a float32 weight.

    Raises:
      TypeError: when built, if `inner` is no transformation; at `update`, if
        the state is another.
      ValueError: at `update`, without the parameters; what `inner` raises, as
        well.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> def train(tx):
      ...     w = g = jnp.array(1.0, jnp.bfloat16)
      ...     state = tx.init(w)
      ...     for _ in range(100):
      ...         update, state = tx.update(g, state, w)
      ...         w = optax.apply_updates(w, update)
      ...     return w
      >>> print(train(gdmethods.sgd(0.001)))  # 1 − 0.001 is 1 in bfloat16
      1
      >>> print(train(gdmethods.with_float32_master(gdmethods.sgd(0.001))))
      0.898438

    Elsewhere: Optax 0.2.8 has none.

    Source: P. Micikevicius et al., Mixed precision training, ICLR 2018,
    section 3.1; P. H. Sterbenz, Floating-point computation, Prentice-Hall
    1974, theorem 4.3.1.
    """
    inner = optax.with_extra_args_support(transformation("inner", inner))

    def init(params: optax.Params) -> Float32MasterState:
        master = jax.tree.map(
            lambda w: w.astype(jnp.float32) if _is_narrow(w) else optax.MaskedNode(), params
        )
        return Float32MasterState(master, inner.init(_in_float32(params, master)))

    def update(
        updates: optax.Updates,
        state: Float32MasterState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Float32MasterState]:
        require_state(state, Float32MasterState, Float32MasterState._fields)
        if params is None:
            raise ValueError(
                "with_float32_master takes the parameters to the master's rounding, and was given "
                "none. Call tx.update(grads, state, params)."
            )
        _require_masters(params, state.master)
        gradients = jax.tree.map(lambda g: g.astype(jnp.float32) if _is_narrow(g) else g, updates)
        displacements, inner_state = inner.update(
            gradients, state.inner_state, _in_float32(params, state.master), **extra_args
        )
        master = _map(lambda m, d: m if _serves_itself(m) else m + d, state.master, displacements)
        updates = _map(
            lambda m, d, w: d if _serves_itself(m) else m.astype(w.dtype) - w,
            master,
            displacements,
            params,
        )
        return updates, Float32MasterState(master, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _require_masters(params: optax.Params, master: optax.Params) -> None:
    """Refuses a state that was made for parameters of other dtypes."""

    def check(path: Any, m: Any, w: Any) -> None:
        if not isinstance(w, optax.MaskedNode) and _is_narrow(w) == _serves_itself(m):
            kept = "no master" if _serves_itself(m) else "a master"
            raise TypeError(
                f"The state keeps {kept} {at_path(path)}, where the parameter is {w.dtype}. Call "
                "init with the parameters in the dtypes that are trained."
            )

    jax.tree_util.tree_map_with_path(check, master, params, is_leaf=_serves_itself)


def _in_float32(params: optax.Params, master: optax.Params) -> optax.Params:
    return _map(lambda m, w: w if _serves_itself(m) else m, master, params)


def _map(f: Callable[..., Any], master: optax.Params, *trees: Any) -> Any:
    return jax.tree.map(f, master, *trees, is_leaf=_serves_itself)


def _serves_itself(m: Any) -> bool:
    return isinstance(m, optax.MaskedNode)


def _is_narrow(leaf: Any) -> bool:
    dtype = jnp.result_type(leaf)
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32
