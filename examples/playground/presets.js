// Each shows one claim, which the tests check by its numbers.
const presets = {
  oscillation: {
    title: "Oscillation",
    claim: "The slope across the ravine is 25 times the one along it. From η = 1/25 each step "
      + "of SGD crosses the ravine, from η = 2/25 each lands higher. So η must stay small, "
      + "and the way along is slow.",
    formula: "wₜ = (1 − ηλ) wₜ₋₁, λ = 25 across, 1 along",
    setting: "loss=axes&methods=sgd&start=-3.2,1.6&t=30&sgd.learning_rate=0.076",
  },
  plane: {
    title: "The plane of η and μ",
    claim: "On a quadratic the roots of an equation say where momentum converges, and how "
      + "fast: look at the map, and click in it. With μ, η may be up to 1 + μ times as "
      + "large. At its best, momentum shrinks the distance by 0.67 a step, and SGD by 0.92.",
    formula: "r² − (1 + μ − ηλ) r + μ = 0; best η = 4 / (√λ₁ + √λ₂)², μ = ((√λ₁ − √λ₂) / (√λ₁ + "
      + "√λ₂))²",
    setting: "loss=axes&methods=sgd,momentum&start=-3.2,1.6&t=20&sgd.learning_rate=0.0769"
      + "&momentum.learning_rate=0.1111&momentum.momentum=0.4444",
  },
  nesterov: {
    title: "Nesterov's correction",
    claim: "Both overshoot with the same η and μ. Nesterov takes the slope from where the "
      + "velocity leads, and so brakes earlier: across the ravine it comes to rest, where "
      + "momentum still swings.",
    formula: "across, swings shrink by √μ = 0.95 a step; Nesterov's by √(μ (1 − ηλ)) = 0.67",
    setting: "loss=axes&methods=momentum,nesterov&start=-3.2,1.6&t=40"
      + "&momentum.learning_rate=0.02&nesterov.learning_rate=0.02&momentum.momentum=0.9"
      + "&nesterov.momentum=0.9",
  },
  gains: {
    title: "Gains along the axes",
    claim: "Each weight has a gain, which grows while its slope keeps its sign. The ravine "
      + "lies along an axis: the gain along it grows, the one across falls. The loss is "
      + "below 0.01 in half of SGD's steps.",
    formula: "gᵢ + 0.05 where signs agree, else 0.95 gᵢ; Δᵢ = −η gᵢ ∂E/∂wᵢ",
    setting: "loss=axes&methods=sgd,adaptive_gains&start=-3.2,0.6&t=39&sgd.learning_rate=0.04"
      + "&adaptive_gains.learning_rate=0.04",
  },
  gains_turned: {
    title: "Gains, turned",
    claim: "The same ravine and start, turned. Each weight now feels both slopes. Both gains "
      + "grow alike, as a larger η would, until the steps across overshoot. Nothing is won "
      + "on SGD.",
    formula: "gᵢ + 0.05 where signs agree, else 0.95 gᵢ; Δᵢ = −η gᵢ ∂E/∂wᵢ",
    setting: "loss=turned&methods=sgd,adaptive_gains&start=-2.98,-1.31&t=60"
      + "&sgd.learning_rate=0.04&adaptive_gains.learning_rate=0.04",
  },
  adagrad: {
    title: "AdaGrad stops",
    claim: "AdaGrad divides by the root of a sum that only grows, so its steps shrink even "
      + "where the slope does not. RMSProp's mean forgets, and its steps go on.",
    formula: "nₜ = nₜ₋₁ + g², Δ = −η g / √nₜ",
    setting: "loss=axes&methods=adagrad,rmsprop&start=-3.2,1.6&t=120"
      + "&adagrad.learning_rate=0.05&rmsprop.learning_rate=0.05",
  },
  adadelta: {
    title: "ADADELTA's units",
    claim: "ADADELTA needs no η: it takes the size of a step from its steps before. With none "
      + "before, ε sets the first: 0.0045 in each direction, be the slope 3 or 40. So it "
      + "starts slowly, and faster with a larger ε.",
    formula: "|Δ₁| = √(ε / (1 − ρ)) = √(10⁻⁶ / 0.05)",
    setting: "loss=axes&methods=adadelta&start=-3.2,1.6&t=120",
  },
  rprop: {
    title: "Rprop under noise",
    claim: "Nine minibatches in ten pull gently one way, the tenth nine times as hard the "
      + "other way: 0 in the mean. SGD stays about the minimum. Rprop sees signs alone, and "
      + "rests where the nine have none, at −2.5.",
    formula: "0.9 · 0.25 − 0.1 · 2.25 = 0; 0.1 w + 0.25 = 0 at w = −2.5",
    setting: "loss=skewed&methods=sgd,rprop&start=0.5,0.5&t=100&sgd.learning_rate=0.05"
      + "&rprop.learning_rate=0.02",
  },
  adam: {
    title: "Adam's first steps",
    claim: "Adam frees its means of the bias of starting at zero, so its first step is η in "
      + "each direction, whatever the slope. RMSProp's first is √10 times as long at a "
      + "decay of 0.9.",
    formula: "|Δ₁| = η; without the correction of ν, η / √(1 − 0.9)",
    setting: "loss=axes&methods=rmsprop,adam&start=-3.2,1.6&t=3&rmsprop.learning_rate=0.2"
      + "&adam.learning_rate=0.2",
  },
  bfloat16: {
    title: "bfloat16",
    claim: "Along the ravine a step is 1/526 of the weight, less than half the space between "
      + "two bfloat16 numbers. Rounding to nearest drops each one, and the weight stops. "
      + "Stochastic rounding goes up as often as it must, and goes on with float64.",
    formula: "ηλ = 0.0019 < 1/512; up with probability (w + Δ − ⌊w + Δ⌋) / spacing",
    setting: "loss=axes&methods=sgd,sgd_bfloat16,sgd_stochastic&start=-3.2,1.6&t=200"
      + "&sgd.learning_rate=0.0019&sgd_bfloat16.learning_rate=0.0019"
      + "&sgd_stochastic.learning_rate=0.0019",
  },
};
