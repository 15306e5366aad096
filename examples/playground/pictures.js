// What is drawn: the plane with its paths, the losses, and the map of η and μ.
const COLOURS = {
  sgd: "#8a8f98", momentum: "#2f7de1", nesterov: "#12a594", adaptive_gains: "#c2790a",
  adagrad: "#8e4ec6", adadelta: "#b0413e", rprop: "#5b8c1a", rmsprop: "#d6409f",
  adam: "#e5484d", adamw: "#e08a5b",
};
const OF_VARIANTS = ["#7c66dc", "#d1601f", "#0f9fb5", "#3d9a50"];

const placeOf = method => variantsOf(method).indexOf(method);  // 0 of the method itself
const colourOf = method => COLOURS[method] ?? OF_VARIANTS[placeOf(method) - 1];

const root = document.documentElement;
const css = name => getComputedStyle(root).getPropertyValue(name).trim();
const unit = () => parseFloat(getComputedStyle(root).fontSize) / 15;  // lines grow as type does

function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = devicePixelRatio || 1;
  const size = [width, height].map(v => Math.round(v * scale));
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineJoin = "round";
  return [pen, width, height];
}

// From a view to a canvas, and back
const onto = (width, height, [left, right, bottom, top]) => ([x, y]) =>
  [(x - left) / (right - left) * width, (top - y) / (top - bottom) * height];
const back = (width, height, [left, right, bottom, top]) => ([x, y]) =>
  [left + (right - left) * x / width, top - (top - bottom) * y / height];

function line(pen, places) {
  pen.beginPath();
  for (const place of places) pen.lineTo(...place);
  pen.stroke();
}

function disc(pen, place, radius) {
  pen.beginPath();
  pen.arc(...place, radius, 0, 7);
  pen.fill();
}

function mark(pen, place, radius) {
  pen.fillStyle = css("--back");
  pen.strokeStyle = css("--ink");
  pen.lineWidth = 3 * unit();
  disc(pen, place, radius * unit());
  pen.stroke();
}

function contours({ f, view }, width, height) {
  const image = new ImageData(width, height), level = new Float32Array(width * height);
  const from = back(width, height, view);
  for (let k = 0; k < level.length; k++) {
    level[k] = Math.log(Math.max(f(...from([k % width, Math.floor(k / width)])), 1e-3));
  }
  const low = level.reduce((a, b) => Math.min(a, b));
  const high = level.reduce((a, b) => Math.max(a, b));
  const band = level.map(v => Math.floor((v - low) / (high - low) * 16));
  const [ground, hill, edge] = ["--ground", "--hill", "--edge"].map(
    name => css(name).split(",").map(Number));
  for (let k = 0; k < level.length; k++) {
    const inside = (k + 1) % width && k + width < level.length;
    const between = inside && (band[k + 1] !== band[k] || band[k + width] !== band[k]);
    for (let c = 0; c < 3; c++) {
      image.data[4 * k + c] = between ? edge[c] : ground[c] + (hill[c] - ground[c]) * band[k] / 11;
    }
    image.data[4 * k + 3] = 255;
  }
  return image;
}

let hill = null;  // the last contours, which cost ten times what the paths do

function drawPlane(canvas, { loss, methods, start, t }, paths) {
  const [pen, width, height] = fit(canvas), to = onto(width, height, losses[loss].view);
  if (!canvas.width || !canvas.height) return;  // not laid out yet; the observer draws again
  const key = [loss, canvas.width, canvas.height, root.dataset.scheme].join();
  if (hill?.key !== key) {
    hill = { key, image: contours(losses[loss], canvas.width, canvas.height) };
  }
  pen.putImageData(hill.image, 0, 0);
  for (const method of methods) {
    const seen = paths[method].slice(0, t + 1).map(({ w }) => to(w));
    pen.strokeStyle = pen.fillStyle = colourOf(method);
    pen.lineWidth = 2 * unit();
    pen.setLineDash(placeOf(method) ? [6 * unit(), 6 * unit()] : []);
    line(pen, seen);
    if (t < 81) for (const place of seen) disc(pen, place, 2.2 * unit());
    disc(pen, seen.at(-1), 6 * unit());
  }
  pen.setLineDash([]);
  mark(pen, to(start), 9);
}

function drawLoss(canvas, { methods, t }, paths) {
  const [pen, width, height] = fit(canvas), log = ({ loss }) => Math.log10(loss);
  const all = methods.flatMap(method => paths[method].map(log));
  const low = Math.max(-8, Math.min(...all)), high = Math.min(6, Math.max(...all)) + 0.01;
  const to = onto(width, height - 8, [0, STEPS, low, high]);
  pen.lineWidth = 1.8 * unit();
  for (const method of methods) {
    pen.strokeStyle = colourOf(method);
    line(pen, paths[method].map((point, t) => to([t, log(point)])).map(([x, y]) => [x, y + 4]));
  }
  pen.strokeStyle = pen.fillStyle = css("--faint");
  pen.lineWidth = unit();
  line(pen, [[t / STEPS * width, 0], [t / STEPS * width, height]]);
  write(pen, "loss (log), by step", 6, height - 6, "left");
}

function write(pen, text, x, y, align) {
  pen.font = `${12 * unit()}px system-ui, sans-serif`;
  pen.textAlign = align;
  pen.strokeStyle = css("--back");
  pen.lineWidth = 4 * unit();
  pen.strokeText(text, x, y);
  pen.fillText(text, x, y);
}

// The plane of η, logarithmic to the right, and μ upwards, with what converges on a quadratic, the
// stronger the faster.
const MAP = [-2.5, -0.3, 0, 1], BANDS = [1, 0.97, 0.94, 0.9, 0.85, 0.8, 0.75, 0.7];

function drawMap(canvas, method, { learning_rate, momentum }, loss) {
  const [pen, width, height] = fit(canvas), from = back(width, height, MAP), side = 2;
  pen.fillStyle = colourOf(method);
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
  write(pen, "μ ↑", 5, 14 * unit(), "left");
  write(pen, "η →", width - 5, height - 6, "right");
}
