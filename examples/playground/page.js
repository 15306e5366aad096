// What the reader sees and moves.
const $ = id => document.getElementById(id);
const plane = $("plane");
const LETTERS = {
  learning_rate: "η", momentum: "μ", max_momentum: "μ", rho: "ρ", b1: "β₁", b2: "β₂", eps: "ε",
  eta_minus: "η⁻", eta_plus: "η⁺",
};
const FIRST_SHOWN = [
  "learning_rate", "momentum", "max_momentum", "period", "rho", "decay", "b1", "b2",
];

let setting, paths, playing = null, keeping = null;
let showing = [];  // what shows the setting beside the sliders' hands

function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const own = method => `--own: ${colourOf(method)}`;
const labelOf = method => [familyOf(method), rules[method].words].filter(Boolean).join(", ");
const pair = values => `(${values.map(short).join(", ")})`;

function address() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";  // cut off within a character
  }
}

// Browsers refuse an address that changes a hundred times in some seconds, as in a drag
function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(() => history.replaceState(null, "", "#" + addressOf(setting)), 150);
  $("whole").href = "#" + addressOf({ ...setting, embed: null });
}

// What a point of a path knows: of both weights, the slots, and the rate −Δ/g that they make
function numbers({ loss, slots, g, by }) {
  const kept = Object.keys(slots[0]).map(name => `${name} ${pair(slots.map(of => of[name]))}`);
  const rates = by.map((v, i) => g[i] ? -v / g[i] : 0);
  return [`loss ${short(loss)}`, ...kept, `rate −Δ/g ${pair(rates)}`];
}

function draw() {
  drawPlane(plane, setting, paths);
  drawLoss($("loss"), setting, paths);
  $("step").value = `step ${setting.t}`;
  $("time").value = setting.t;
  for (const method of setting.methods) {
    const point = paths[method][setting.t];
    $(`state-${method}`).textContent = point ? numbers(point).join("; ") : "diverged";
  }
}

function redraw() {
  $("under").hidden = true;
  showing.forEach(show => show());
  draw();
}

function compute() {
  paths = courses(setting);
  $("measured").value = measured(setting, paths);
  redraw();
  keep();
}

// Sliders are logarithmic: in what a mean forgets, 1 − β, and in how far a number is from its
// least.

const SPANS = {
  learning_rate: [-4, 1], eps: [-10, 1], eps_root: [-10, 1], min_step_size: [-7, 1],
  period: [0, 3],
};

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
  const { span: [min, max], to, from } = scale(method, name), hyper = setting.hyper[method];
  const input = made("input", { type: "range", step: 0.01, min, max }), output = made("output");
  input.dataset.of = `${method}.${name}`;
  showing.push(() => {
    if (document.activeElement !== input) input.value = to(hyper[name]);
    output.value = short(hyper[name]);
  });
  input.oninput = () => {
    hyper[name] = +from(Number(input.value)).toPrecision(4);
    compute();
  };
  const words = made("span", {}, `${LETTERS[name] ?? ""} `, made("small", {}, name));
  return made("label", { className: "slider" }, words, input, output);
}

// The map of η and μ. The sliders move its mark by keys.
function map(method) {
  const canvas = made("canvas", { className: "map", role: "img" });
  const words = made("div", { className: "state" }), hyper = setting.hyper[method];
  canvas.dataset.of = method;
  canvas.ariaLabel = `Where ${method} converges, by learning rate and momentum`;
  const set = event => {
    const [log, mu] = under(event, canvas, MAP);
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
    drawMap(canvas, method, hyper, loss);
    const shrinks = factor(method, hyper.learning_rate, hyper.momentum, loss);
    const verdict = shrinks < 1 ? "converges" : "does not converge";
    words.textContent = `${verdict}: × ${shrinks.toFixed(3)} a step`;
  });
  return [canvas, words];
}

// Of all methods, or in a figure of one method of that alone, which then stands first
function controls() {
  showing = [];
  const { methods, embed } = setting, moves = method => !embed || familyOf(method) === embed;
  const order = [...methods.filter(moves), ...methods.filter(method => !moves(method))];
  $("sliders").replaceChildren(...order.map(method => {
    const box = made("fieldset", { style: own(method) }, made("legend", {}, labelOf(method)));
    const names = moves(method) ? Object.keys(rules[method].hyper) : [];
    const sliders = shown => names.filter(name => FIRST_SHOWN.includes(name) === shown)
      .map(name => slider(method, name));
    box.append(...sliders(true));
    if (moves(method) && method in EQUATIONS) box.append(...map(method));
    const others = sliders(false);
    if (others.length) box.append(made("details", {}, made("summary", {}, "more"), ...others));
    box.append(made("div", { className: "state", id: `state-${method}` }));
    return box;
  }));
  compute();
}

// Beside another of its family, a method begins with the numbers of that.
function choose(method, chosen) {
  const like = variantsOf(method).find(other => setting.methods.includes(other));
  const { [method]: hyper, [like]: given = {} } = setting.hyper;
  if (chosen) for (const name in hyper) hyper[name] = given[name] ?? hyper[name];
  setting.methods = Object.keys(rules).filter(
    other => other === method ? chosen : setting.methods.includes(other));
  show();
}

function chip(method) {
  const box = made("input", { type: "checkbox", onchange: () => choose(method, box.checked) });
  box.dataset.of = method;
  return made("label", { style: own(method) }, box, rules[method].words || method);
}

function fill() {
  $("presets").append(...Object.entries(presets).map(([name, { title }]) =>
    made("a", { id: `preset-${name}` }, title)));
  $("surface").append(...Object.entries(losses).map(
    ([name, { title }]) => new Option(title, name)));
  $("methods").append(...Object.keys(rules).filter(method => method === familyOf(method)).map(
    method => made("div", { className: "family" }, ...variantsOf(method).map(chip))));
  $("time").max = STEPS;
}

// All that the setting chooses
function show() {
  const { preset, embed, large, methods } = setting;
  root.classList.toggle("embed", embed !== null);
  root.classList.toggle("large", large);
  $("large").ariaPressed = large;
  for (const name in presets) {
    $(`preset-${name}`).href = `#${large ? "large&" : ""}preset=${name}`;
    $(`preset-${name}`).ariaCurrent = name === preset;
  }
  const nav = $("presets"), current = $(`preset-${preset}`);
  if (current) nav.scrollLeft = current.offsetLeft - nav.offsetLeft;  // a row if type is large
  const { claim, formula } = presets[preset] ?? {};
  $("claim").hidden = !preset && embed !== null;
  $("words").textContent = claim ?? "Choose what to see, or set all by hand.";
  $("formula").textContent = formula ?? "";
  $("surface").value = setting.loss;
  for (const box of $("methods").querySelectorAll("input")) {
    const method = box.dataset.of, family = variantsOf(method);
    box.checked = methods.includes(method);
    box.parentElement.hidden = embed === null
      ? method !== family[0] && !family.some(other => methods.includes(other))
      : family[0] !== embed;
  }
  controls();
}

function open() {
  stop();
  setting = settingOf(address());
  show();
}

// Time

function stop() {
  if (playing !== null) cancelAnimationFrame(playing);
  playing = null;
  $("play").textContent = "▶";
}

function play() {
  if (playing !== null) return stop(), keep();
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
    else stop(), keep();
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

function at(event, canvas) {
  const { left, top } = canvas.getBoundingClientRect();
  return [event.clientX - left - canvas.clientLeft, event.clientY - top - canvas.clientTop];
}

const under = (event, canvas, view) =>
  back(canvas.clientWidth, canvas.clientHeight, view)(at(event, canvas));

const distance = ([x, y], [u, v]) => Math.hypot(u - x, v - y);
const seen = w => onto(plane.clientWidth, plane.clientHeight, losses[setting.loss].view)(w);

// The point of a path that is nearest to a place, if any is within reach
function nearest(place, reach) {
  let found = { far: reach };
  for (const method of setting.methods) {
    paths[method].slice(0, setting.t + 1).forEach((point, t) => {
      const spot = seen(point.w), far = distance(spot, place);
      if (far < found.far) found = { far, method, point, t, spot };
    });
  }
  return found;
}

function tell({ method, point, t, spot }, away) {
  const tip = $("under");
  tip.hidden = !point;
  if (!point) return;
  tip.textContent = [`${labelOf(method)}, step ${t}`, `w ${pair(point.w)}`, `g ${pair(point.g)}`,
    ...numbers(point)].join("\n");
  tip.style.cssText = own(method);
  // On the side where there is more space, and within the plane
  const beside = (place, size, whole) =>
    Math.max(0, Math.min(place < whole / 2 ? place + away : place - away - size, whole - size));
  tip.style.left = `${beside(spot[0], tip.offsetWidth, plane.clientWidth)}px`;
  tip.style.top = `${beside(spot[1], tip.offsetHeight, plane.clientHeight)}px`;
}

// A mouse tells by hovering; a finger by touching a path away from its start. All else moves the
// start.
const drag = event => move(under(event, plane, losses[setting.loss].view));
let reading = false;

plane.onpointerdown = event => {
  plane.setPointerCapture(event.pointerId);
  const place = at(event, plane), near = nearest(place, 24);
  const onStart = distance(seen(setting.start), place) < 24;
  reading = event.pointerType !== "mouse" && near.point && !onStart;
  if (reading) tell(near, 36);
  else drag(event);
};
plane.onpointermove = event => {
  const held = plane.hasPointerCapture(event.pointerId);
  if (held && !reading) drag(event);
  else if (held) tell(nearest(at(event, plane), Infinity), 36);
  else tell(nearest(at(event, plane), 14), 12);
};
plane.onpointerleave = event => { $("under").hidden ||= event.pointerType === "mouse"; };

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
plane.onkeydown = event => {
  if (!(event.key in ARROWS)) return;
  event.preventDefault();
  const [x, y] = ARROWS[event.key], far = event.shiftKey ? 0.5 : 0.05;
  move([setting.start[0] + far * x, setting.start[1] + far * y]);
};

function enlarge() {
  setting.large = !setting.large;
  show();
}

onkeydown = event => {
  const { key, target, ctrlKey, metaKey, altKey } = event;
  if (ctrlKey || metaKey || altKey || target.tagName === "SELECT") return;
  if (key === "l") enlarge();
  if (key !== " " || /^(BUTTON|INPUT|SUMMARY|A)$/.test(target.tagName)) return;
  event.preventDefault();
  play();
};
$("play").onclick = play;
$("large").onclick = enlarge;
$("time").oninput = () => {
  setting.t = Number($("time").value);
  draw();
  keep();
};
$("surface").onchange = () => {
  setting.loss = $("surface").value;
  setting.start = losses[setting.loss].start;
  compute();
};
onhashchange = open;

// A page of the same site that has this one in a frame gives it the scheme that Furo keeps on
// body, and is told the height.

const SCHEME = matchMedia("(prefers-color-scheme: dark)");
const frame = frameElement, host = frame?.ownerDocument.body;

function scheme() {
  const { theme } = host?.dataset ?? {};
  const dark = theme === "dark" || theme !== "light" && SCHEME.matches;
  root.dataset.scheme = dark ? "dark" : "light";
}

function height() {
  if (setting.embed === null) return;
  const { offsetHeight } = root;
  if (frame) frame.style.height = `${offsetHeight}px`;
  parent.postMessage({ playground: offsetHeight }, "*");
}

fill();
scheme();
SCHEME.onchange = () => { scheme(); redraw(); };
if (host) new MutationObserver(SCHEME.onchange).observe(host, { attributeFilter: ["data-theme"] });
open();
new ResizeObserver(redraw).observe(plane);
new ResizeObserver(height).observe(document.body);
