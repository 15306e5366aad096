"""The program without PyTorch; tests/dialects hold what it shows against the real one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from pictures import colors_in

from examples import porting

PICTURE = Path(porting.__file__).parent / "pictures" / "porting.png"


def test_without_pytorch_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r'needs PyTorch: python -m pip install "\.\[parity\]"'):
        porting.main(["--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.proof
def test_weights_and_state_arrive_in_flax() -> None:
    """The last layer sees the same signals, though PyTorch flattens the channels first."""
    shapes = {
        "0.weight": (8, 1, 3, 3),
        "0.bias": (8,),
        "2.weight": (16, 8, 3, 3),
        "2.bias": (16,),
        "5.weight": (10, 576),
        "5.bias": (10,),
    }
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype("f") for name, shape in shapes.items()}
    entries = {
        i: {"step": 50, "exp_avg": 2 * w, "exp_avg_sq": w**2}
        for i, w in enumerate(weights.values())
    }
    state_dict = {"state": entries, "param_groups": [{"params": [*entries]}]}
    model, optimizer = porting.port(weights, state_dict, with_state=True)
    signals = rng.normal(size=(2, 16, 6, 6)).astype("f")
    expected = signals.reshape(2, -1) @ weights["5.weight"].T + weights["5.bias"]
    actual = model.output(signals.transpose(0, 2, 3, 1).reshape(2, -1))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    assert optimizer.opt_state.count[...] == 50
    params = nnx.state(model, nnx.Param)
    for layer in ("first", "second", "output"):
        kernel = np.asarray(params[layer]["kernel"][...])
        np.testing.assert_array_equal(optimizer.opt_state.mu[layer]["kernel"][...], 2 * kernel)
    _, forgetful = porting.port(weights, state_dict, with_state=False)
    assert forgetful.opt_state.count[...] == 0


def test_the_gallery_has_all_curves() -> None:
    assert colors_in(PICTURE, porting.COLORS.values()) == set(porting.COLORS.values())
