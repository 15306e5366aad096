// Losses, settings with their addresses, and the course of a method. Nothing here draws.
"use strict";
const STEPS = 200;

// (a u² + b v²) / 2 along axes turned by an angle
function quadratic(a, b, angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const along = (x, y) => [c * x + s * y, c * y - s * x];
  return {
    curvatures: [a, b],
    f: (x, y) => { const [u, v] = along(x, y); return (a * u * u + b * v * v) / 2; },
    gradient: (x, y) => {
      const [u, v] = along(x, y);
      return [c * a * u - s * b * v, s * a * u + c * b * v];
    },
  };
}

// What a minibatch adds to a gradient, 0 in the mean
const bell = width => chance => 2 * width * (chance() + chance() + chance() - 1.5);
const nineAndOne = size => chance => chance() < 0.1 ? -9 * size : size;

const WIDE = [-4, 4, -3, 3];
const losses = {
  axes: { title: "ravine along the axes", view: WIDE, start: [-3.2, 1.6], ...quadratic(1, 25, 0) },
  turned: { title: "ravine, turned", view: WIDE, start: [-3.2, -0.6], ...quadratic(1, 25, 0.6) },
  rosenbrock: {
    title: "Rosenbrock's valley", view: [-2, 2, -1, 2], start: [-1.4, 1.5],
    f: (x, y) => (1 - x) ** 2 / 4 + 5 * (y - x * x) ** 2,
    gradient: (x, y) => [(x - 1) / 2 - 20 * x * (y - x * x), 10 * (y - x * x)],
  },
  saddle: {
    title: "saddle", view: WIDE, start: [-3, 0.02],
    f: (x, y) => x * x / 2 - y * y / 2 + y ** 4 / 16 + 1,
    gradient: (x, y) => [x, -y + y ** 3 / 4],
  },
  noisy: {
    title: "bowl, noisy minibatches", view: WIDE, start: [-3, 2],
    ...quadratic(1, 4, 0.4), noise: bell(1.5),
  },
  skewed: {
    title: "bowl, one minibatch in ten disagrees", view: WIDE, start: [0.5, 0.5],
    ...quadratic(0.1, 0.1, 0), noise: nineAndOne(0.25),
  },
};

// By which factor a course on a quadratic shrinks a step in the end: the largest root, in size, of
// r² − sum · r + product = 0, which wₜ = sum · wₜ₋₁ − product · wₜ₋₂ has at a curvature λ.
const EQUATIONS = {
  momentum: (eta, mu, lambda) => [1 + mu - eta * lambda, mu],
  nesterov: (eta, mu, lambda) => [(1 + mu) * (1 - eta * lambda), mu * (1 - eta * lambda)],
};

function factor(method, eta, mu, loss) {
  return Math.max(...loss.curvatures.map(lambda => {
    const [sum, product] = EQUATIONS[method](eta, mu, lambda), root = sum * sum / 4 - product;
    return root < 0 ? Math.sqrt(product) : Math.abs(sum) / 2 + Math.sqrt(root);
  }));
}

// mulberry32, so that all methods and all readers see the same minibatches
function chances(seed) {
  return () => {
    seed = seed + 0x6D2B79F5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}

// Of each step: weights, their slots and their loss, and with which gradient they move on
function course(rule, hyper, loss, start) {
  const chance = chances(7), path = [];
  let w = start, states = w.map(v => rule.init(v, hyper));
  for (let t = 0; t <= STEPS && w.every(v => Math.abs(v) < 1e6); t++) {
    const noise = w.map(() => loss.noise?.(chance) ?? 0);
    const g = loss.gradient(...w).map((v, i) => v + noise[i]), f = loss.f(...w);
    const ofMinibatch = f + noise[0] * w[0] + noise[1] * w[1];
    const moved = w.map((v, i) => rule.step(g[i], v, states[i], hyper, ofMinibatch));
    path.push({ w, slots: states.map(rule.slots), loss: f, g, by: moved.map(([by]) => by) });
    w = w.map((v, i) => v + moved[i][0]);
    states = moved.map(([, state]) => state);
  }
  return path;
}

// A variant is named after its method, which stands before it: adam_8bit after adam
const familyOf = method => Object.keys(rules).find(
  name => method === name || method.startsWith(name + "_"));
const variantsOf = method => Object.keys(rules).filter(
  other => familyOf(other) === familyOf(method));

const courses = setting => Object.fromEntries(setting.methods.map(method =>
  [method, course(rules[method], setting.hyper[method], losses[setting.loss], setting.start)]));

// What a preset measures in the paths of its methods; nothing where one is not shown or diverged
function measured({ preset }, paths) {
  if (!preset) return "";
  const { methods } = settingOf(`preset=${preset}`);
  if (!methods.every(method => paths[method]?.length > STEPS)) return "";
  const told = presets[preset].measured(paths);
  return told.includes("NaN") ? "" : `Here: ${told}`;  // as from a start on an axis
}

// An address is loss=turned&methods=sgd,adam&start=-3,1&t=60&adam.b1=0.5, or preset=name with
// what differs from it. What it does not name stays as it is, and what it misspells too. With
// large, type is for a projector; with embed=adam the page is a figure of Adam's page.
function settingOf(address) {
  const setting = {
    embed: null, large: false, preset: null,
    loss: "turned", methods: ["sgd", "momentum", "adam"], start: null, t: 60,
    hyper: Object.fromEntries(
      Object.entries(rules).map(([name, { hyper }]) => [name, { ...hyper }])),
  };
  follow(setting, address);
  setting.start ??= losses[setting.loss].start;
  return setting;
}

// Whether in an interval, such as [0, 1, "[)"]
const lies = (value, [low, high, ends]) => (value > low || value === low && ends[0] === "[")
  && (value < high || value === high && ends[1] === "]");

function follow(setting, address) {
  for (const part of address.split("&")) {
    const [key, value = ""] = part.split("="), numbers = value.split(",").map(Number);
    const [method, name] = key.split(".");
    if (key === "large") {
      setting.large = true;
    } else if (key === "embed") {
      setting.embed = Object.hasOwn(rules, value) ? familyOf(value) : "";
      if (setting.embed) setting.methods = [value];
    } else if (key === "preset" && Object.hasOwn(presets, value)) {
      setting.preset = value;
      follow(setting, presets[value].setting);
    } else if (key === "loss" && Object.hasOwn(losses, value)) {
      Object.assign(setting, { loss: value, start: null });
    } else if (key === "methods") {
      setting.methods = Object.keys(rules).filter(known => value.split(",").includes(known));
    } else if (key === "start" && numbers.length === 2 && numbers.every(v => Math.abs(v) < 1000)) {
      setting.start = numbers;
    } else if (key === "t" && numbers[0] >= 0 && numbers[0] <= STEPS) {
      setting.t = Math.floor(numbers[0]);
    } else if (Object.hasOwn(rules, method) && Object.hasOwn(rules[method].hyper, name)) {
      const range = rules[method].ranges[name];
      if (value && lies(numbers[0], range)) setting.hyper[method][name] = numbers[0];
    }
  }
}

function addressOf(setting) {
  const first = settingOf(setting.preset ? `preset=${setting.preset}` : "");
  const all = !setting.preset, parts = all ? [] : [`preset=${setting.preset}`];
  if (all || setting.loss !== first.loss) parts.push(`loss=${setting.loss}`);
  if (all || `${setting.methods}` !== `${first.methods}`) parts.push(`methods=${setting.methods}`);
  if (parts.some(part => part.startsWith("loss")) || `${setting.start}` !== `${first.start}`) {
    parts.push(`start=${setting.start}`);  // a loss brings its own
  }
  if (all || setting.t !== first.t) parts.push(`t=${setting.t}`);
  for (const method of setting.methods) {
    for (const [name, value] of Object.entries(setting.hyper[method])) {
      if (value !== first.hyper[method][name]) parts.push(`${method}.${name}=${value}`);
    }
  }
  if (setting.large) parts.unshift("large");
  if (setting.embed !== null) parts.unshift(setting.embed ? `embed=${setting.embed}` : "embed");
  return parts.join("&");
}
