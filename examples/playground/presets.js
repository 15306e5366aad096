// Each shows one claim, and measures its numbers in the paths that are shown.
const short = v => +v.toPrecision(3);
const across = path => t => Math.abs(path[t].w[1]), along = path => t => Math.abs(path[t].w[0]);
const far = path => t => Math.hypot(...path[t].w);
const swing = path => t => Math.max(...Array.from({ length: 15 }, (_, i) => across(path)(t + i)));
const shrinks = (size, from, to) => ((size(to) / size(from)) ** (1 / (to - from))).toFixed(3);
const arrival = path => path.findLastIndex(({ loss }) => loss >= 0.01) + 1;
const first = path => path[0].by.map(v => short(Math.abs(v))).join(" and ");
const apart = (path, other) => short(Math.max(
  ...path.map(({ w }, t) => Math.hypot(w[0] - other[t].w[0], w[1] - other[t].w[1]))));
const late = path => mean(path.slice(150).map(({ loss }) => loss));
const mean = values => values.reduce((sum, v) => sum + v) / values.length;

const presets = {
  oscillation: {
    title: "Oscillation",
    claim: "The slope across the ravine is 25 times the one along it. From η = 1/25 each step "
      + "of SGD crosses the ravine, above η = 2/25 each lands higher. So η must stay small, "
      + "and the way along is slow.",
    formula: "wₜ = (1 − ηλ) wₜ₋₁, λ = 25 across, 1 along",
    measured: ({ sgd }) => `across × ${shrinks(across(sgd), 0, 30)} a step, along × ${
      shrinks(along(sgd), 0, 30)}`,
    setting: "loss=axes&methods=sgd&start=-3.2,1.6&t=30&sgd.learning_rate=0.076",
  },
  plane: {
    title: "The plane of η and μ",
    claim: "On a quadratic the roots of an equation say where momentum converges, and how "
      + "fast: look at the map, and click in it. With μ, η may be up to 1 + μ times as "
      + "large. At its best, momentum shrinks the distance by 0.67 a step, and SGD by 0.92.",
    formula: "r² − (1 + μ − ηλ) r + μ = 0; best η = 4 / (√λ₁ + √λ₂)², μ = ((√λ₁ − √λ₂) / (√λ₁ + "
      + "√λ₂))²",
    measured: ({ sgd, momentum }) => `momentum × ${
      shrinks(far(momentum), 100, 200)} a step, SGD × ${shrinks(far(sgd), 100, 200)}`,
    setting: "loss=axes&methods=sgd,momentum&start=-3.2,1.6&t=20&sgd.learning_rate=0.0769"
      + "&momentum.learning_rate=0.1111&momentum.momentum=0.4444",
  },
  nesterov: {
    title: "Nesterov's correction",
    claim: "Both overshoot with the same η and μ. Nesterov takes the slope from where the "
      + "velocity leads, and so brakes earlier: across the ravine it comes to rest, where "
      + "momentum still swings.",
    formula: "across, swings shrink by √μ = 0.95 a step; Nesterov's by √(μ (1 − ηλ)) = 0.67",
    measured: ({ momentum, nesterov }) => `momentum × ${
      shrinks(swing(momentum), 0, 30)} a step, Nesterov × ${shrinks(swing(nesterov), 0, 30)}`,
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
    measured: ({ sgd, adaptive_gains }) => `loss below 0.01 after ${
      arrival(sgd)} steps of SGD, and ${arrival(adaptive_gains)} with gains`,
    setting: "loss=axes&methods=sgd,adaptive_gains&start=-3.2,0.6&t=39&sgd.learning_rate=0.04"
      + "&adaptive_gains.learning_rate=0.04",
  },
  gains_turned: {
    title: "Gains, turned",
    claim: "The same ravine and start, turned. Each weight now feels both slopes. Both gains "
      + "grow alike, as a larger η would, until the steps across overshoot. Nothing is won "
      + "on SGD.",
    formula: "gᵢ + 0.05 where signs agree, else 0.95 gᵢ; Δᵢ = −η gᵢ ∂E/∂wᵢ",
    measured: ({ sgd, adaptive_gains }) => `loss below 0.01 after ${
      arrival(sgd)} steps of SGD, and ${arrival(adaptive_gains)} with gains`,
    setting: "loss=turned&methods=sgd,adaptive_gains&start=-2.98,-1.31&t=60"
      + "&sgd.learning_rate=0.04&adaptive_gains.learning_rate=0.04",
  },
  adagrad: {
    title: "AdaGrad stops",
    claim: "AdaGrad divides by the root of a sum that only grows, so its steps shrink even "
      + "where the slope does not. RMSProp's mean forgets, and its steps go on.",
    formula: "nₜ = nₜ₋₁ + g², Δ = −η g / √nₜ",
    measured: ({ adagrad, rmsprop }) => `step 50 moves along by ${
      short(adagrad[50].by[0])} with AdaGrad, and ${short(rmsprop[50].by[0])} with RMSProp`,
    setting: "loss=axes&methods=adagrad,rmsprop&start=-3.2,1.6&t=120"
      + "&adagrad.learning_rate=0.05&rmsprop.learning_rate=0.05",
  },
  adadelta: {
    title: "ADADELTA's units",
    claim: "ADADELTA needs no η: it takes the size of a step from its steps before. With none "
      + "before, ε sets the first: 0.0045 in each direction, be the slope 3 or 40. So it "
      + "starts slowly, and faster with a larger ε.",
    formula: "|Δ₁| = √(ε / (1 − ρ)) = √(10⁻⁶ / 0.05)",
    measured: ({ adadelta }) => `|Δ₁| = ${first(adadelta)}, and a loss of ${
      short(adadelta[120].loss)} after 120 steps`,
    setting: "loss=axes&methods=adadelta&start=-3.2,1.6&t=120",
  },
  rprop: {
    title: "Rprop under noise",
    claim: "Nine minibatches in ten pull gently one way, the tenth nine times as hard the "
      + "other way: 0 in the mean. SGD stays about the minimum. Rprop sees signs alone, and "
      + "rests where the nine have none, at −2.5.",
    formula: "0.9 · 0.25 − 0.1 · 2.25 = 0; 0.1 w + 0.25 = 0 at w = −2.5",
    measured: ({ sgd, rprop }) => `mean of steps 100 to 200: Rprop at ${
      short(mean(rprop.slice(100).map(({ w }) => w[0])))}, SGD at ${
      short(mean(sgd.slice(100).map(({ w }) => w[0])))}`,
    setting: "loss=skewed&methods=sgd,rprop&start=0.5,0.5&t=100&sgd.learning_rate=0.05"
      + "&rprop.learning_rate=0.02",
  },
  adam: {
    title: "Adam's first steps",
    claim: "Adam frees its means of the bias of starting at zero, so its first step is η in "
      + "each direction, whatever the slope. RMSProp's first is √10 times as long at a "
      + "decay of 0.9.",
    formula: "|Δ₁| = η; without the correction of ν, η / √(1 − 0.9)",
    measured: ({ adam, rmsprop }) => `|Δ₁| = ${first(adam)} of Adam, ${first(rmsprop)} of RMSProp`,
    setting: "loss=axes&methods=rmsprop,adam&start=-3.2,1.6&t=3&rmsprop.learning_rate=0.2"
      + "&adam.learning_rate=0.2",
  },
  bfloat16: {
    title: "bfloat16",
    claim: "Along the ravine a step is 1/526 of the weight, less than half the space between "
      + "two bfloat16 numbers. Rounding to nearest drops each one, and the weight stops. "
      + "Stochastic rounding goes up as often as it must, and goes on with float64.",
    formula: "ηλ = 0.0019 < 1/512; up with probability (w + Δ − ⌊w + Δ⌋) / spacing",
    measured: ({ sgd, sgd_bfloat16, sgd_stochastic }) => `after 200 steps, along: float64 ${
      short(sgd[200].w[0])}, to nearest ${short(sgd_bfloat16[200].w[0])}, stochastic ${
      short(sgd_stochastic[200].w[0])}`,
    setting: "loss=axes&methods=sgd,sgd_bfloat16,sgd_stochastic&start=-3.2,1.6&t=200"
      + "&sgd.learning_rate=0.0019&sgd_bfloat16.learning_rate=0.0019"
      + "&sgd_stochastic.learning_rate=0.0019",
  },
  falling: {
    title: "A rate that falls",
    claim: "Minibatches disagree, and a constant η follows each of them: SGD stays at a distance "
      + "from the minimum that η sets. With an η that falls, the same noise is averaged, and "
      + "SGD comes nearer.",
    formula: "ηₜ = η / (1 + t / period)",
    measured: ({ sgd, sgd_falling }) => `mean loss of steps 150 to 200: constant ${
      short(late(sgd))}, falling ${short(late(sgd_falling))}`,
    setting: "loss=noisy&methods=sgd,sgd_falling&start=-3,2&t=200&sgd.learning_rate=0.2"
      + "&sgd_falling.learning_rate=0.2&sgd_falling.period=20",
  },
  eight_bits: {
    title: "State in 8 bits",
    claim: "Adam keeps m and v of each weight, in 8 bytes of float32. In bfloat16 they take 4, "
      + "and in 8 bits 2. They are rounded up or down by chance: one step is too long or too "
      + "short, but not in the mean, so the paths stay together.",
    formula: "⁴√v and m / √v, with 8 levels an octave; up with probability (x − ⌊x⌋) / spacing",
    measured: ({ adam, adam_16bit, adam_8bit }) => `largest distance from the path in float64: ${
      apart(adam_16bit, adam)} of bfloat16, ${apart(adam_8bit, adam)} of 8 bits`,
    setting: "loss=turned&methods=adam,adam_16bit,adam_8bit&start=-3.2,-0.6&t=100",
  },
};
