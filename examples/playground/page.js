// What the reader sees and moves.
const $ = id => document.getElementById(id);
const COLOURS = {
  sgd: "#8a8f98", momentum: "#2f7de1", nesterov: "#12a594", adaptive_gains: "#c2790a",
  adagrad: "#8e4ec6", adadelta: "#b0413e", rprop: "#5b8c1a", rmsprop: "#d6409f",
  adam: "#e5484d", adamw: "#e08a5b", sgd_bfloat16: "#d1601f", sgd_stochastic: "#0f9fb5",
};
const LETTERS = {
  learning_rate: "η", momentum: "μ", rho: "ρ", b1: "β₁", b2: "β₂", eps: "ε",
  eta_minus: "η⁻", eta_plus: "η⁺",
};
const HIDDEN = ["count", "value", "rounding_count", "narrowest"];
const FIRST_SHOWN = ["learning_rate", "momentum", "rho", "decay", "b1", "b2"];

let setting = settingOf(address()), paths = {}, hill = null, playing = null;
let showing = [];  // what shows the setting beside the sliders' hands
const short = v => +v.toPrecision(3);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = name => css(name).split(",").map(Number);

function address() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";  // cut off within a character
  }
}

function write() {
  history.replaceState(null, "", "#" + addressOf(setting));
}

// Pictures

function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = devicePixelRatio || 1;
  const size = [width, height].map(v => Math.round(v * scale));
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return [pen, width, height];
}

const onto = (width, height, [left, right, bottom, top]) => ([x, y]) =>
  [(x - left) / (right - left) * width, (top - y) / (top - bottom) * height];

function plane() {
  const { clientWidth, clientHeight } = $("plane");
  return onto(clientWidth, clientHeight, losses[setting.loss].view);
}

const back = (width, height, [left, right, bottom, top]) => ([x, y]) =>
  [left + (right - left) * x / width, top - (top - bottom) * y / height];

function under(event, canvas, view) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return back(width, height, view)([event.clientX - left, event.clientY - top]);
}

function contours(width, height) {
  const { f, view } = losses[setting.loss], from = back(width, height, view);
  const image = new ImageData(width, height), level = new Float32Array(width * height);
  for (let k = 0; k < level.length; k++) {
    level[k] = Math.log(Math.max(f(...from([k % width, Math.floor(k / width)])), 1e-3));
  }
  const low = level.reduce((a, b) => Math.min(a, b)), high = level.reduce((a, b) => Math.max(a, b));
  const band = k => Math.floor((level[k] - low) / (high - low) * 16);
  const [hilltop, edge] = [colours("--hill"), colours("--edge")], ground = SCHEME.matches ? 19 : 255;
  for (let k = 0; k < level.length; k++) {
    const inside = (k + 1) % width && k + width < level.length;
    const line = inside && (band(k + 1) !== band(k) || band(k + width) !== band(k));
    for (let c = 0; c < 3; c++) {
      image.data[4 * k + c] = line ? edge[c] : ground + (hilltop[c] - ground) * band(k) / 11;
    }
    image.data[4 * k + 3] = 255;
  }
  return image;
}

function disc(pen, place, radius) {
  pen.beginPath();
  pen.arc(...place, radius, 0, 7);
  pen.fill();
}

function mark(pen, place, radius) {
  pen.fillStyle = css("--back");
  pen.strokeStyle = css("--ink");
  pen.lineWidth = 3;
  disc(pen, place, radius);
  pen.stroke();
}

function drawPlane() {
  const canvas = $("plane"), [pen] = fit(canvas), to = plane();
  if (!canvas.width || !canvas.height) return;  // not laid out yet; the observer draws again
  const key = [setting.loss, canvas.width, canvas.height, SCHEME.matches].join();
  if (hill?.key !== key) hill = { key, image: contours(canvas.width, canvas.height) };
  pen.putImageData(hill.image, 0, 0);
  pen.lineJoin = "round";
  pen.lineWidth = 2;
  for (const method of setting.methods) {
    const seen = paths[method].slice(0, setting.t + 1).map(({ w }) => to(w));
    pen.strokeStyle = pen.fillStyle = COLOURS[method];
    pen.beginPath();
    for (const place of seen) pen.lineTo(...place);
    pen.stroke();
    if (seen.length < 81) for (const place of seen) disc(pen, place, 2.2);
    disc(pen, seen.at(-1), 6);
  }
  mark(pen, to(setting.start), 9);
}

function drawLoss() {
  const [pen, width, height] = fit($("loss")), log = ({ loss }) => Math.log10(Math.max(loss, 1e-8));
  const all = setting.methods.flatMap(method => paths[method].map(log));
  const low = Math.min(...all), high = Math.min(6, Math.max(...all)) + 0.01;
  const to = onto(width, height - 8, [0, STEPS, low, high]);
  pen.lineWidth = 1.8;
  for (const method of setting.methods) {
    pen.strokeStyle = COLOURS[method];
    pen.beginPath();
    paths[method].forEach((point, t) => {
      const [x, y] = to([t, log(point)]);
      pen.lineTo(x, y + 4);
    });
    pen.stroke();
  }
  pen.strokeStyle = pen.fillStyle = css("--faint");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(setting.t / STEPS * width, 0);
  pen.lineTo(setting.t / STEPS * width, height);
  pen.stroke();
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.strokeStyle = css("--back");
  pen.lineWidth = 4;
  pen.strokeText("loss (log), by step", width - 6, 14);
  pen.fillText("loss (log), by step", width - 6, 14);
}

// What a point of a path knows: of both weights, the slots, and the rate −Δ/g that they make
function numbers({ loss, states, g, by }) {
  const slots = Object.keys(states[0]).filter(
    name => typeof states[0][name] !== "object" && !HIDDEN.includes(name));
  const pairs = [...slots.map(name => [name, states.map(state => state[name])]),
    ["rate −Δ/g", by.map((v, i) => g[i] ? -v / g[i] : 0)]];
  const told = pairs.map(([name, pair]) => `${name} (${pair.map(short).join(", ")})`);
  return [`loss ${short(loss)}`, ...told];
}

function draw() {
  drawPlane();
  drawLoss();
  $("step").value = `step ${setting.t}`;
  $("time").value = setting.t;
  for (const method of setting.methods) {
    const point = paths[method][setting.t];
    $(`state-${method}`).textContent = point ? numbers(point).join("; ") : "diverged";
  }
}

function compute() {
  paths = courses(setting);
  $("under").hidden = true;
  showing.forEach(show => show());
  draw();
  write();
}

function point(event) {
  const box = $("plane").getBoundingClientRect(), to = plane();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let nearest = { distance: 14 };
  for (const method of setting.methods) {
    paths[method].slice(0, setting.t + 1).forEach((at, t) => {
      const [u, v] = to(at.w), distance = Math.hypot(u - x, v - y);
      if (distance < nearest.distance) nearest = { distance, method, at, t, u, v };
    });
  }
  const { method, at, t, u, v } = nearest;
  $("under").hidden = !at;
  if (!at) return;
  $("under").textContent = [`${method}, step ${t}`, `w (${at.w.map(short).join(", ")})`,
    `g (${at.g.map(short).join(", ")})`, ...numbers(at)].join("\n");
  const left = u < box.width / 2, high = v < box.height / 2;
  Object.assign($("under").style, {
    left: left ? `${u + 12}px` : "", right: left ? "" : `${box.width - u + 12}px`,
    top: high ? `${v + 12}px` : "", bottom: high ? "" : `${box.height - v + 12}px`,
    borderColor: COLOURS[method],
  });
}

// Sliders are logarithmic: in what a mean forgets, 1 − β, and in how far a number is from its least

const SPANS = { learning_rate: [-4, 1], eps: [-10, 1], eps_root: [-10, 1], min_step_size: [-7, 1] };

function scale(method, name) {
  const [low, high, ends] = rules[method].ranges[name], closed = ends[0] === "[";
  if (high === 1) {
    const span = [closed ? 0 : 0.05, 4];
    return { span, to: v => -Math.log10(Math.max(1 - v, 1e-4)), from: s => 1 - 10 ** -s };
  }
  const span = SPANS[name] ?? [-3, 2], [least] = span;
  return {
    span,
    to: v => v > low ? Math.log10(v - low) : least,
    from: s => s > least || !closed ? low + 10 ** s : low,
  };
}

function slider(method, name) {
  const { span: [min, max], to, from } = scale(method, name), row = document.createElement("label");
  row.className = "slider";
  row.innerHTML = `<span>${LETTERS[name] ?? ""} <small>${name}</small></span>
    <input type="range" step="0.01" min="${min}" max="${max}" data-of="${method}.${name}">
    <output></output>`;
  const [, input, output] = row.children;
  showing.push(() => {
    if (document.activeElement !== input) input.value = to(setting.hyper[method][name]);
    output.value = short(setting.hyper[method][name]);
  });
  input.oninput = () => {
    setting.hyper[method][name] = +from(Number(input.value)).toPrecision(4);
    compute();
  };
  return row;
}

// The plane of η, logarithmic to the right, and μ upwards, with what converges on a quadratic, the
// stronger the faster. The sliders move its mark by keys.

const MAP = [-2.5, -0.3, 0, 1], BANDS = [1, 0.97, 0.94, 0.9, 0.85, 0.8, 0.75, 0.7];

function map(method) {
  const canvas = document.createElement("canvas"), words = document.createElement("div");
  canvas.className = "map";
  canvas.dataset.of = method;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Where ${method} converges, by learning rate and momentum`);
  words.className = "state";
  const set = event => {
    const [log, mu] = under(event, canvas, MAP), hyper = setting.hyper[method];
    hyper.learning_rate = +(10 ** log).toPrecision(4);
    hyper.momentum = +Math.min(0.999, Math.max(0, mu)).toFixed(3);
    compute();
  };
  canvas.onpointerdown = event => {
    canvas.setPointerCapture(event.pointerId);
    set(event);
  };
  canvas.onpointermove = event => canvas.hasPointerCapture(event.pointerId) && set(event);
  showing.push(() => {
    const loss = losses[setting.loss];
    canvas.hidden = words.hidden = !loss.curvatures;
    if (!loss.curvatures) return;
    const { learning_rate, momentum } = setting.hyper[method], side = 2;
    const [pen, width, height] = fit(canvas), from = back(width, height, MAP);
    pen.fillStyle = COLOURS[method];
    for (let x = 0; x < width; x += side) {
      for (let y = 0; y < height; y += side) {
        const [log, mu] = from([x + side / 2, y + side / 2]);
        const shrinks = factor(method, 10 ** log, mu, loss);
        pen.globalAlpha = 0.12 * BANDS.filter(bound => shrinks < bound).length;
        pen.fillRect(x, y, side, side);
      }
    }
    pen.globalAlpha = 1;
    mark(pen, onto(width, height, MAP)([Math.log10(learning_rate), momentum]), 6);
    pen.fillStyle = css("--ink");
    pen.font = "12px system-ui, sans-serif";
    pen.fillText("μ ↑", 5, 14);
    pen.fillText("η →", width - 26, height - 6);
    const shrinks = factor(method, learning_rate, momentum, loss);
    words.textContent = shrinks < 1 ? `converges: × ${shrinks.toFixed(3)} a step`
      : `does not converge: × ${shrinks.toFixed(3)} a step`;
  });
  return [canvas, words];
}

function controls() {
  showing = [];
  $("sliders").replaceChildren(...setting.methods.map(method => {
    const box = document.createElement("fieldset"), names = Object.keys(rules[method].hyper);
    box.style.setProperty("--own", COLOURS[method]);
    box.innerHTML = `<legend>${method}</legend>`;
    const sliders = shown => names.filter(name => FIRST_SHOWN.includes(name) === shown)
      .map(name => slider(method, name));
    box.append(...sliders(true));
    if (method in EQUATIONS) box.append(...map(method));
    const others = sliders(false);
    if (others.length) {
      const more = document.createElement("details");
      more.innerHTML = "<summary>more</summary>";
      more.append(...others);
      box.append(more);
    }
    const state = document.createElement("div");
    state.className = "state";
    state.id = `state-${method}`;
    box.append(state);
    return box;
  }));
  compute();
}

function choices() {
  $("presets").replaceChildren(...Object.entries(presets).map(([name, { title }]) => {
    const link = document.createElement("a");
    link.href = `#preset=${name}`;
    link.textContent = title;
    if (name === setting.preset) link.setAttribute("aria-current", "true");
    return link;
  }));
  const { claim, formula } = presets[setting.preset] ?? {};
  $("claim").textContent = claim ?? "Choose what to see, or set all by hand.";
  if (formula) {
    $("claim").append(Object.assign(document.createElement("b"), { textContent: formula }));
  }
  $("surface").replaceChildren(...Object.entries(losses).map(
    ([name, { title }]) => new Option(title, name, false, name === setting.loss)));
  $("methods").replaceChildren(...Object.keys(rules).map(method => {
    const label = document.createElement("label"), box = document.createElement("input");
    label.style.setProperty("--own", COLOURS[method]);
    Object.assign(box, { type: "checkbox", checked: setting.methods.includes(method) });
    box.onchange = () => {
      setting.methods = Object.keys(rules).filter(
        other => other === method ? box.checked : setting.methods.includes(other));
      controls();
    };
    label.append(box, method);
    return label;
  }));
}

function open() {
  stop();
  setting = settingOf(address());
  choices();
  controls();
}

// Time

function stop() {
  if (playing !== null) cancelAnimationFrame(playing);
  playing = null;
  $("play").textContent = "▶";
}

function play() {
  if (playing !== null) return stop(), write();
  if (setting.t >= STEPS) setting.t = 0;
  $("play").textContent = "❚❚";
  let before = 0;
  const tick = now => {
    if (now - before > 33) {
      before = now;
      setting.t++;
      draw();
    }
    if (setting.t < STEPS) playing = requestAnimationFrame(tick);
    else stop(), write();
  };
  playing = requestAnimationFrame(tick);
}

// Mouse, touch and keys

function move([x, y]) {
  const [left, right, bottom, top] = losses[setting.loss].view;
  const inside = (v, low, high) => +Math.min(high, Math.max(low, v)).toFixed(3);
  setting.start = [inside(x, left, right), inside(y, bottom, top)];
  compute();
}

const drag = event => move(under(event, $("plane"), losses[setting.loss].view));

$("plane").onpointerdown = event => {
  $("plane").setPointerCapture(event.pointerId);
  drag(event);
};
$("plane").onpointermove = event => {
  if ($("plane").hasPointerCapture(event.pointerId)) drag(event);
  else point(event);
};
$("plane").onpointerleave = () => { $("under").hidden = true; };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
$("plane").onkeydown = event => {
  if (!(event.key in ARROWS)) return;
  event.preventDefault();
  const [x, y] = ARROWS[event.key], far = event.shiftKey ? 0.5 : 0.05;
  move([setting.start[0] + far * x, setting.start[1] + far * y]);
};
onkeydown = event => {
  if (event.key !== " " || /^(BUTTON|SELECT|INPUT|SUMMARY|A)$/.test(event.target.tagName)) return;
  event.preventDefault();
  play();
};
$("play").onclick = play;
$("time").max = STEPS;
$("time").oninput = () => {
  setting.t = Number($("time").value);
  draw();
  write();
};
$("surface").onchange = () => {
  setting.loss = $("surface").value;
  setting.start = losses[setting.loss].start;
  compute();
};
const SCHEME = matchMedia("(prefers-color-scheme: dark)");
SCHEME.onchange = compute;
onhashchange = open;
open();
new ResizeObserver(draw).observe($("plane"));
