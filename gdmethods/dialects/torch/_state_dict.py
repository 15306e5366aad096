"""PyTorch runs carried over: `torch.optim`'s state_dict, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from gdmethods._engine.states import states_in
from gdmethods._engine.transformations import transformation
from gdmethods._methods.adadelta import AdaDeltaState
from gdmethods._methods.adagrad import AdaGradState
from gdmethods._methods.adam import AdamState
from gdmethods._methods.adamw import adamw as published_adamw
from gdmethods._methods.rprop import RpropState
from gdmethods.dialects._amsgrad import AMSGradState
from gdmethods.dialects._element_map import Conversion, Convert, array, like
from gdmethods.dialects._entries import (
    Words,
    carried_over,
    entries_of,
    mean_of_squares,
    require_like,
    variance,
    weights_of,
)
from gdmethods.dialects.torch._optimizers import RMSPropState, SGDState, adamw


def _signs(slots: Any) -> Any:
    return slots | {"sign": np.sign(slots["sign"])}


_TABLE = {
    SGDState: Words({"velocity": "momentum_buffer"}),
    AdaGradState: Words({"sum_of_squares": "sum"}),
    AdaDeltaState: Words({"e_g": "square_avg", "e_x": "acc_delta"}),
    RpropState: Words({"step_sizes": "step_size", "sign": "prev"}, ours=_signs),
    RMSPropState: Words(
        {"nu": "square_avg", "mu": "grad_avg", "velocity": "momentum_buffer"},
        ours=variance,
        theirs=mean_of_squares,
    ),
    AdamState: Words({"mu": "exp_avg", "nu": "exp_avg_sq"}),
    AMSGradState: Words({"mu": "exp_avg", "nu": "exp_avg_sq", "nu_max": "max_exp_avg_sq"}),
}
_IMPLIED = {each: {"decoupled_weight_decay": True} for each in (adamw, published_adamw)}


def from_state_dict(
    tx: optax.GradientTransformation,
    parameters: Mapping[str, Any],
    state_dict: Mapping[str, Any],
    convert: Convert,
    *,
    count: int | None = None,
    dtype: Any = None,
) -> tuple[optax.Params, optax.OptState]:
    """The parameters and the state of a PyTorch run, with which `tx` goes on.

    Arguments:
      tx: the same optimizer, built with the functions of this module, alone or
        in chains and wrappers.
      parameters: the named weights in the optimizer's order, as
        `dict(model.named_parameters())`: tensors, or NumPy arrays. If it has
        several param_groups, their order is
        `{names[p]: p for group in optimizer.param_groups for p in
        group["params"]}`, where names[p] is the name of p.
      state_dict: of the optimizer, also as read by `torch.load`. If its
        param_groups have param_names, these are the order.
      convert: from a dict of such weights, as NumPy arrays, to the tree of the
        parameters here. It transposes, reshapes, splits, joins, repeats and
        casts, so that it converts the optimizer's state as well.
      count: updates so far. It is needed if PyTorch counts none (SGD) and an
        update of `tx` depends on it; otherwise the state counts from 0.
      dtype: of the parameters; None for what `convert` makes.

    Returns:
      `(params, state)`. Slots have the dtypes of `tx.init(params)`. The masters
      of `with_float32_master` are the weights before the cast to `dtype`. A
      parameter that PyTorch never moved starts as in `tx.init`.

    Raises:
      ValueError: `convert` drops elements or computes with them; the state is
        of another optimizer; an option of `tx` differs from the param_groups; a
        shape differs; param_groups differ in their options, and `tx` has no
        `optax.partition`, or they have parameters of one shape and no
        param_names; an injected schedule of `tx` has a state of its own.
      TypeError: `tx` keeps a state that no optimizer of PyTorch has; a given
        square is complex, since PyTorch takes a complex weight as two.

    Warns:
      UserWarning: lr, lr_decay or weight_decay of `tx` differs from the
        param_groups. Schedules are not compared.

    Example:
      >>> import numpy as np, gdmethods.dialects
      >>> weights = {"0.weight": np.ones((3, 2), np.float32)}
      >>> state_dict = {  # of torch.optim.SGD(momentum=0.9)
      ...     "state": {0: {"momentum_buffer": np.full((3, 2), 0.5)}},
      ...     "param_groups": [{"lr": 0.1, "momentum": 0.9, "params": [0]}],
      ... }
      >>> convert = lambda named: {"kernel": named["0.weight"].T}
      >>> tx = gdmethods.dialects.torch.sgd(0.1, momentum=0.9)
      >>> params, state = gdmethods.dialects.torch.from_state_dict(
      ...     tx, weights, state_dict, convert
      ... )
      >>> state.velocity["kernel"].shape
      (2, 3)

    Elsewhere: `to_state_dict` is the way back.
    """
    named = {name: array(x) for name, x in parameters.items()}
    indices = _indices(named, state_dict)
    conversion = Conversion(named, convert)
    of_index = _options(state_dict)
    _require_groups(tx, conversion.tree, of_index)
    entries = {name: _entry(state_dict, index) for name, index in indices.items()}
    options = {name: of_index[index] for name, index in indices.items()}
    return carried_over(
        tx, conversion, named, entries, _TABLE, options, _IMPLIED, count=count, dtype=dtype
    )


def to_state_dict(
    tx: optax.GradientTransformation,
    params: optax.Params,
    state: optax.OptState,
    parameters: Mapping[str, Any],
    state_dict: Mapping[str, Any],
    convert: Convert,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The way back of `from_state_dict`: named weights and a state for PyTorch.

    Arguments:
      tx: the transformation.
      params: the parameters.
      state: the state of `tx`.
      parameters: the named weights of before, or of the model that is to go
        on; they give names, shapes, dtypes, and whether tensors are returned.
      state_dict: of its optimizer, from before or new; it gives the
        param_groups, and shows which parameters were never moved.
      convert: as in `from_state_dict`.

    Returns:
      `(parameters, state_dict)`, for `model.load_state_dict(parameters,
      strict=False)` and `optimizer.load_state_dict(state_dict)`.

    Raises:
      ValueError: `convert` drops elements or computes with them, or repeats an
        element whose copies now differ.
      TypeError: `tx` keeps another state, or one that no optimizer of PyTorch
        has.

    Example:
      >>> import numpy as np, gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adam()
      >>> params = {"kernel": np.ones((2, 3), np.float32)}
      >>> parameters, state_dict = gdmethods.dialects.torch.to_state_dict(
      ...     tx, params, tx.init(params), {"0.weight": np.zeros((3, 2))},
      ...     {"state": {}, "param_groups": [{"params": [0]}]},
      ...     lambda named: {"kernel": named["0.weight"].T},
      ... )
      >>> parameters["0.weight"].shape, state_dict["state"]  # before a step
      ((3, 2), {})

    Elsewhere: `from_state_dict` is the way here.
    """
    require_like(tx, params, state)
    named = {name: array(x) for name, x in parameters.items()}
    indices = _indices(named, state_dict)
    conversion = Conversion(named, convert)
    weights = weights_of(params, state, conversion)
    old = {name: _entry(state_dict, index) for name, index in indices.items()}
    has_run = any(map(_has_moved, old.values()))
    step = next((entry["step"] for entry in old.values() if "step" in entry), 0.0)
    start = entries_of(tx.init(params), conversion, _TABLE)
    new = {name: entry for name, entry in old.items() if entry}
    for name, entry in entries_of(state, conversion, _TABLE).items():
        steps = entry.pop("step")
        starts = all(np.array_equal(x, start[name][field]) for field, x in entry.items())
        if starts and (steps == 0 or (has_run and not _has_moved(old[name]))):
            continue  # it was never moved
        if entry.keys() != {"momentum_buffer"}:  # SGD counts nothing
            entry = {"step": steps, **entry}
        lenders = dict.fromkeys(entry, parameters[name]) | {"step": step} | old[name]
        new[name] = {field: like(lenders[field], x) for field, x in entry.items()}
    return (
        {name: like(x, weights[name]) for name, x in parameters.items()},
        {**state_dict, "state": {indices[name]: entry for name, entry in new.items()}},
    )


def _indices(named: Mapping[str, Any], state_dict: Mapping[str, Any]) -> dict[str, int]:
    """The index of each parameter in the state_dict."""
    if not {"state", "param_groups"} <= {*state_dict}:
        raise TypeError(
            "state_dict must be that of the optimizer, with state and param_groups. Pass "
            "optimizer.state_dict(), and the weights as parameters."
        )
    groups = state_dict["param_groups"]
    indices = [index for group in groups for index in group["params"]]
    names = [name for group in groups for name in group.get("param_names", ())] or [*named]
    if len(names) != len(indices) or {*names} != {*named}:
        missing = [name for name in names if name not in named]
        way_out = (
            "Pass all that the optimizer was given, frozen ones too, in its order: "
            "dict(model.named_parameters())."
            if missing or len(named) < len(indices)
            else "Leave out those that it was not given, such as frozen ones: {name: p for name, "
            "p in model.named_parameters() if p.requires_grad}. Leave them out of convert and tx "
            "too."
        )
        raise ValueError(
            f"The optimizer has {len(indices)} parameters, and parameters are {len(named)}"
            f"{f' without {missing[0]!r}' if missing else ''}. {way_out}"
        )
    of_group = [i for i, group in enumerate(groups) for _ in group["params"]]
    if not any("param_names" in group for group in groups):
        _require_one_order(named, of_group)
    return dict(zip(names, indices, strict=True))


def _require_one_order(named: Mapping[str, Any], of_group: list[int]) -> None:
    """Raises an error for unnamed parameters of one shape in several groups: no order is known."""
    first: dict[Any, tuple[str, int]] = {}
    for (name, x), group in zip(named.items(), of_group, strict=True):
        other, its_group = first.setdefault(x.shape, (name, group))
        if its_group != group:
            raise ValueError(
                f"{other!r} and {name!r} have the shape {x.shape} and are in two param_groups, "
                "but state_dict does not show whether the optimizer has them in the order of "
                "parameters. Put the names into it, as PyTorch does if it is given them: "
                'group["param_names"] = [names[p] for p in own["params"]] for group, own in '
                'zip(state_dict["param_groups"], optimizer.param_groups), where names = '
                "{p: name for name, p in model.named_parameters()}."
            )


def _entry(state_dict: Mapping[str, Any], index: int) -> dict[str, Any]:
    entry = state_dict["state"].get(index, {})
    return {field: x for field, x in entry.items() if x is not None}


def _has_moved(entry: Mapping[str, Any]) -> bool:
    """Adagrad has an entry at step 0 before the first step."""
    return bool(entry) and int(entry.get("step", 1)) > 0


def _options(state_dict: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The options of the optimizer, by the indices of its parameters."""
    options: dict[int, dict[str, Any]] = {}
    for group in state_dict["param_groups"]:
        beside = {"params", "param_names"}
        if not group.get("weight_decay"):
            beside.add("decoupled_weight_decay")
        of_group = {name: x for name, x in group.items() if name not in beside}
        options |= dict.fromkeys(group["params"], of_group)
    return options


def _require_groups(tx: Any, params: Any, options: Mapping[int, Any]) -> None:
    """Raises an error for param_groups of different options if `tx` has no parts."""
    all_options = [*options.values()]
    state = jax.eval_shape(transformation("tx", tx).init, params)
    differ = any(each != all_options[0] for each in all_options)
    if differ and not states_in(state, optax.PartitionState):
        raise ValueError(
            "The optimizer has param_groups of different options, and tx treats all parameters "
            "alike. Build one transformation for each group, and join them with "
            "optax.partition."
        )
