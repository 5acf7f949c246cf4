// Shared by all views: elements, data, the frame with its toolbar, keys and kernel messages, playback, 3D scenes, charts.
// A view's script follows this text and defines `render`. Python puts `MAPS` and `PALETTES` (colour tables) and, for
// views that draw in 3D, `three()` (3Dmol.js) before it.

// ---- Elements and formatting
const h = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const svg = (tag, attributes = {}, text = null) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
};
const note = (attributes = {}, ...children) => h("p", { class: "fw-note", ...attributes }, ...children);
const column = (basis, ...children) => h("div", { class: "fw-col", style: `flex-basis:${basis}px` }, ...children);
const row = (...children) => h("div", { class: "fw-row" }, ...children);
const wide = (...children) => h("div", { class: "fw-row fw-wide" }, ...children);
const swatch = (colour, text) => h("span", { class: "fw-chip" }, h("span", { class: "fw-swatch", style: `background:${colour}` }), text);

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const formatNumber = (x, digits = 3) => {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (Number.isInteger(x)) return String(x);
  const extreme = x !== 0 && (Math.abs(x) < 1e-5 || Math.abs(x) >= 1e5);
  return extreme ? (+x.toPrecision(digits)).toExponential() : String(+x.toPrecision(digits));
};
const formatDuration = (s) => {
  if (s === null || s === undefined || !isFinite(s)) return "";
  return s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
};
const plainDigits = (text) => text.replace(/[₀-₉]/g, (c) => "₀₁₂₃₄₅₆₇₈₉".indexOf(c));
const SERIES = ["var(--fw-1)", "var(--fw-2)", "var(--fw-3)", "var(--fw-4)", "var(--fw-5)", "var(--fw-6)"];
const SURPLUS = "#e0701a", DEFICIT = "#0a84c6"; // density above and below what it should be

// ---- Files
function saveFile(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
const toCsv = (rows) => rows.map((cells) => cells.map((value) => {
  const text = plainDigits(String(value ?? ""));
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}).join(",")).join("\n") + "\n";
const toPng = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

// ---- Arrays that Python packed
// Bytes of a trait: a DataView in a notebook, base64 in a page without a kernel.
function toBuffer(value) {
  if (!value) return new ArrayBuffer(0);
  if (typeof value === "string") return Uint8Array.from(atob(value), (c) => c.charCodeAt(0)).buffer;
  const view = value.buffer ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
  return view.slice().buffer; // aligned, and our own
}
const TYPES = { f4: Float32Array, u4: Uint32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array, i1: Int8Array };
const typedArray = (buffer, spec) => new TYPES[spec.type](buffer, spec.at, spec.n);

// Fractional coordinates in the lattice L (nine numbers, rows are vectors) as a point in Å.
const cartesian = (L, [a, b, c], origin = [0, 0, 0]) => ({
  x: a * L[0] + b * L[3] + c * L[6] + origin[0], y: a * L[1] + b * L[4] + c * L[7] + origin[1], z: a * L[2] + b * L[5] + c * L[8] + origin[2],
});
const triples = (flat, make) => Array.from({ length: flat.length / 3 }, (_, i) => make(flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]));
const unpackSurface = (buffer, spec, L, origin) => ({
  ...spec,
  vertices: triples(typedArray(buffer, spec.vertices), (a, b, c) => cartesian(L, [a / 65535, b / 65535, c / 65535], origin)),
  normals: triples(typedArray(buffer, spec.normals), (x, y, z) => ({ x: x / 127, y: y / 127, z: z / 127 })),
  faces: Array.from(typedArray(buffer, spec.faces)),
});
const unpackAtoms = (buffer, cell, species, origin) => {
  const numbers = typedArray(buffer, cell.numbers), positions = triples(typedArray(buffer, cell.positions), (...f) => f);
  return positions.map((f, i) => ({ ...species[numbers[i]], ...cartesian(cell.lattice, f, origin) }));
};

// ---- The frame of a view
const isDark = () => {
  const lab = document.body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  const page = document.documentElement.dataset.theme || document.body.dataset.theme; // furo
  if (page === "dark" || page === "light") return page === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
};

// Makes `render`. `build(view)` fills `view.body` and returns {actions, help, files, opens, fileName, onEnd}:
//   actions   any of play, step(n), first, last, reset
//   help      further keys, [key, effect] each
//   files     name: [what it holds, function]; PNG returns a blob, CSV returns rows, others ask the kernel
//   opens     [button, hint, function] each
// It is called again when a trait of `rebuildOn` changes; with `once`, only until the view is `ready`.
function defineView({ label, empty, ready, rebuildOn, build, palette = true, once = false }) {
  return ({ model, el }) => {
    let view = null, built = false;
    const start = () => {
      view?.end();
      view = makeFrame(model, el, label);
      built = !!ready(model);
      if (!built) view.body.append(h("div", { class: "fw-blank" }, empty));
      view.equip(built ? build(view) : {}, palette);
    };
    const changed = () => { if (!(once && built)) start(); };
    for (const name of rebuildOn) model.on(`change:${name}`, changed);
    start();
    return () => { for (const name of rebuildOn) model.off(`change:${name}`, changed); view.end(); };
  };
}

function makeFrame(model, el, label) {
  const ends = [];
  const root = h("div", { class: "fw", tabindex: 0, role: "group", "aria-label": label, "data-lm-suppress-shortcuts": "true" });
  const title = h("div", { class: "fw-title", role: "heading", "aria-level": "3" });
  const tools = h("div", { class: "fw-tools", role: "toolbar", "aria-label": `${label}: export and help` });
  const error = h("div", { class: "fw-error", role: "alert", hidden: true });
  const body = h("div", { class: "fw-body" });
  const foot = h("div", { class: "fw-foot", role: "status", "aria-live": "polite" });
  root.append(h("div", { class: "fw-head" }, title, tools), error, body, foot);
  el.replaceChildren(root);
  const view = { root, el, body, tools, model, themed: [], onEnd: (f) => ends.push(f) };
  view.end = () => { for (const end of ends.splice(0).reverse()) end(); };
  view.watch = (names, run) => {
    for (const name of [names].flat()) { model.on(`change:${name}`, run); ends.push(() => model.off(`change:${name}`, run)); }
  };
  view.status = (text) => { foot.textContent = text; };
  const show = () => {
    title.replaceChildren(model.get("title") || label, h("small", {}, model.get("subtitle") || ""));
    error.textContent = model.get("error");
    error.hidden = !model.get("error");
  };
  view.watch(["title", "subtitle", "error"], show);
  show();
  followTheme(view);
  connect(view, foot);
  view.equip = (parts, palette) => addTools(view, label, parts, palette);
  return view;
}

// Colours: the page's theme, and the palette of the elements.
function followTheme(view) {
  const apply = () => {
    view.root.classList.toggle("fw-dark", isDark());
    for (const run of view.themed) run();
  };
  const observer = new MutationObserver(apply);
  for (const node of [document.body, document.documentElement]) observer.observe(node, { attributeFilter: ["data-jp-theme-light", "data-theme"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", apply);
  view.onEnd(() => { observer.disconnect(); scheme.removeEventListener("change", apply); });
  apply();
  view.colour = (name) => getComputedStyle(view.root).getPropertyValue(name).trim();
  // An element's colour in the chosen palette, and a dot of that colour, which always stands beside its symbol.
  view.elementColour = (symbol, colour) => PALETTES[view.model.get("scheme")]?.[symbol] || colour;
  view.dot = (symbol, colour) => h("span", { class: "fw-dot", "data-symbol": symbol, style: `background:${view.elementColour(symbol, colour)}` });
  view.chip = ({ symbol, colour }) => h("span", { class: "fw-chip" }, view.dot(symbol, colour), symbol);
  view.watch("scheme", () => {
    for (const dot of view.root.querySelectorAll("[data-symbol]")) dot.style.background = view.elementColour(dot.dataset.symbol, dot.style.background);
    for (const run of view.themed) run();
  });
}

// Messages to the kernel. `request` keeps only the newest while one is under way, so that a slider never queues up work;
// `send` drops none.
function connect(view, foot) {
  const { model, root } = view;
  let sent = 0, answered = 0, waiting = null, alive = null;
  const saved = "A saved view: it can be turned, played and filtered. To compute, open its notebook.";
  const silent = "No answer from a kernel: it is busy, or gone. The view can still be turned; to compute, wait, or run the cell again.";
  const busy = (on) => { root.classList.toggle("fw-busy", on); root.setAttribute("aria-busy", String(on)); };
  const flush = () => {
    if (answered < sent || !waiting) return;
    sent += 1;
    busy(true);
    model.send({ ...waiting, id: sent });
    waiting = null;
  };
  view.request = (what, args = {}) => {
    if (alive === false) view.status(saved); else { waiting = { do: what, with: args }; flush(); }
  };
  view.send = (what, args = {}) => (alive === false ? view.status(saved) : model.send({ do: what, with: args, id: 0 }));
  const receive = (message, buffers) => {
    if (message.hello) alive = true;
    if (message.hello && foot.textContent === silent) view.status("");
    if (message.id) {
      answered = Math.max(answered, message.id);
      if (answered >= sent) busy(false);
      flush();
    }
    if (message.file) saveFile(message.file, new Blob(buffers.map((b) => toBuffer(b)), { type: message.type }));
    if (message.status) view.status(message.status);
  };
  model.on("msg:custom", receive);
  const timer = setTimeout(() => { if (alive === null && !foot.textContent) view.status(silent); }, 6000);
  view.onEnd(() => { clearTimeout(timer); model.off("msg:custom", receive); });
  try {
    if (document.body.dataset.jpThemeLight === undefined && document.body.dataset.theme) throw new Error("a page of the documentation");
    model.send({ do: "hello", with: {}, id: 0 });
  } catch { alive = false; view.status(saved); }
}

// Toolbar, keys and help.
function addTools(view, label, { actions = {}, help = [], files = {}, opens = [], fileName = null }, palette) {
  const { model, root, tools } = view;
  const button = (text, hint, run, attributes = {}) => tools.appendChild(h("button", { title: hint, "aria-label": hint, onclick: run, ...attributes }, text));
  const name = () => (fileName?.() || model.get("title") || label).replace(/[^\w.()-]+/g, "_");
  const runs = {
    PNG: async (make) => { const blob = await make(); if (blob) saveFile(`${name()}.png`, blob); },
    CSV: (make) => { const rows = make(); saveFile(`${name()}.csv`, typeof rows === "string" ? rows : toCsv(rows), "text/csv"); },
  };
  const { PNG, ...others } = files, html = { HTML: ["the view", () => view.request("html")] };
  for (const [kind, [what, make]] of Object.entries({ ...(PNG && { PNG }), ...html, ...others })) {
    const hint = `Save ${what} as ${{ PNG: "PNG at twice its size", HTML: "one offline page" }[kind] || kind}`;
    button(kind, hint, () => (runs[kind] ? runs[kind](make) : make()), { "data-export": kind });
  }
  for (const [text, hint, run] of opens) button(text, hint, run);
  if (palette) {
    const chip = button("", "", () => { model.set("scheme", model.get("scheme") === "vesta" ? "jmol" : "vesta"); model.save_changes(); });
    const named = () => {
      const [now, next] = model.get("scheme") === "vesta" ? ["VESTA", "Jmol"] : ["Jmol", "VESTA"];
      chip.textContent = now;
      for (const name of ["title", "aria-label"]) chip.setAttribute(name, `Element colours: ${now}; change to ${next}`);
    };
    view.watch("scheme", named);
    named();
  }
  button("Python", "Copy the Python that makes this view", async () => {
    const code = model.get("code");
    try { await navigator.clipboard.writeText(code); view.status("Copied: " + code.split("\n").pop()); } catch { view.status(code); }
  });
  const icon = svg("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true", style: "vertical-align:-1px" });
  icon.append(svg("path", { d: "M1 4V1h3M8 1h3v3M11 8v3H8M4 11H1V8", fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
  const fullscreen = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.())?.catch?.(() => {});
  button(icon, "Fullscreen (F)", fullscreen);

  const keys = [["Space", "play or pause", actions.play], ["← →", "one step back, forward", actions.step], ["Shift + ← →", "ten steps", actions.step],
    ["Home, End", "first, last", actions.first], ["R", "reset the view", actions.reset], ["F", "fullscreen", true], ["?", "this help; Esc closes it", true]];
  const list = h("dl", {}, ...[...keys.filter(([, , used]) => used), ...help].flatMap(([key, effect]) => [h("dt", {}, key), h("dd", {}, effect)]));
  const close = () => { overlay.hidden = true; root.focus({ preventScroll: true }); };
  const overlay = root.appendChild(h("div", { class: "fw-help", role: "dialog", "aria-label": `${label}: keys`, hidden: true },
    h("strong", {}, `${label}: keys`), list, h("button", { onclick: close }, "Close")));
  const open = () => { overlay.hidden = false; overlay.querySelector("button").focus({ preventScroll: true }); };
  const toggleHelp = () => (overlay.hidden ? open() : close());
  button("?", "Help: keys (?)", toggleHelp);

  const pressed = (key, event) => { // whether the key meant something here
    const { tagName: tag, type } = event.target, by = event.shiftKey ? 10 : 1;
    if (tag === "SELECT" || (tag === "INPUT" && !["range", "checkbox"].includes(type))) return false;
    const run = { "?": toggleHelp, f: fullscreen, r: actions.reset }[key.toLowerCase()];
    if (run) { run(); return true; }
    if (key === " " && actions.play && tag !== "BUTTON" && type !== "checkbox") { actions.play(); return true; }
    const ownArrows = type === "range" && !event.target.dataset.time; // a slider other than the clock moves itself
    const move = { ArrowRight: () => actions.step(by), ArrowLeft: () => actions.step(-by), Home: actions.first, End: actions.last }[key];
    if (!actions.step || ownArrows || !move) return false;
    move();
    return true;
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const escape = event.key === "Escape" && !overlay.hidden;
    if (escape) close();
    if (escape || pressed(event.key, event)) { event.preventDefault(); event.stopPropagation(); }
  });
}

// ---- Controls
const slider = (label, { min, max, step = 1, value, time = false }, change) => {
  const input = h("input", { type: "range", min, max, step, value, "aria-label": label, "data-time": time || null });
  const output = h("output");
  input.addEventListener("input", () => change(+input.value));
  return { row: h("div", { class: "fw-slide" }, h("span", {}, label), input, output), input, output };
};
const checkbox = (label, on, change) => {
  const input = h("input", { type: "checkbox", "aria-label": label });
  input.checked = on;
  input.addEventListener("change", () => change(input.checked));
  return { row: h("label", {}, input, label), input };
};
const menu = (label, options, value, change, name = label) => {
  const select = h("select", { "aria-label": name }), host = h("label", { class: "fw-field" }, label, select);
  const fill = (entries) => select.replaceChildren(...entries.map(([key, text]) => h("option", { value: key }, text)));
  fill(options);
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return { row: host, select, fill };
};

// Play and pause over `count` frames, with a slider. The page owns the clock; with `sync`, the kernel hears the frame, ten
// times a second at most. `text(k)` is written beside the slider, `show(k)` draws.
function playback(view, { label, count, start = 0, speeds, speed, unit = "frames/s", sync = false, text, show }) {
  const { model, el } = view;
  const self = { now: clamp(start, 0, count - 1), playing: 0 };
  let drawn = 0, told = 0;
  const button = h("button", { class: "fw-play", onclick: () => self.play() });
  const time = slider(label, { min: 0, max: count - 1, value: self.now, time: true }, (k) => { stop(); go(k); });
  const rate = menu(unit, speeds.map((s) => [s, s]), speed, () => {});
  time.row.classList.add("fw-time");
  const tell = (force) => {
    const t = performance.now();
    if (!sync || (!force && t - told < 100) || model.get("frame") === self.now) return;
    told = t;
    model.set("frame", self.now);
    model.save_changes();
  };
  const setPlaying = (frameId) => {
    self.playing = frameId;
    button.textContent = frameId ? "❚❚ Pause" : "▶ Play";
    button.setAttribute("aria-label", frameId ? "pause" : "play");
    el.dataset.playing = !!frameId;
  };
  const stop = () => {
    if (!self.playing) return;
    cancelAnimationFrame(self.playing);
    setPlaying(0);
    tell(true);
  };
  const go = (k) => {
    self.now = clamp(k, 0, count - 1);
    time.input.value = el.dataset.frame = self.now;
    time.output.textContent = text(self.now);
    time.input.setAttribute("aria-valuetext", text(self.now));
    show(self.now);
    tell(!self.playing);
  };
  const tick = (t) => {
    if (!self.playing) return;
    if (t - drawn >= 1000 / +rate.select.value - 4) {
      drawn = t;
      go(self.now + 1);
      if (self.now >= count - 1) { stop(); return; }
    }
    self.playing = requestAnimationFrame(tick);
  };
  self.play = () => {
    if (self.playing) { stop(); return; }
    if (self.now >= count - 1) self.now = -1;
    drawn = -Infinity;
    setPlaying(requestAnimationFrame(tick));
  };
  const jump = (k) => { stop(); go(k); };
  if (sync) view.watch("frame", () => { if (!self.playing && model.get("frame") !== self.now) go(model.get("frame")); });
  view.onEnd(() => cancelAnimationFrame(self.playing));
  setPlaying(0);
  const actions = { play: self.play, step: (n) => jump(self.now + n), first: () => jump(0), last: () => jump(count - 1) };
  return Object.assign(self, { row: wide(button, time.row), rate: rate.row, actions, jump, refresh: () => go(self.now) });
}

// ---- 3D
// Which WebGL there is: "none", "software" (the processor draws every pixel, so none is drawn twice), or "hardware".
const webGL = () => {
  const probe = document.createElement("canvas"), context = probe.getContext("webgl2") || probe.getContext("webgl");
  if (!context) return "none";
  const about = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name) ? "software" : "hardware";
};

const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
const unit = (p) => { const n = Math.hypot(...p) || 1; return p.map((v) => v / n); };

// The direction every crystal is seen from: c up, a to the right, a little from above and from the side. The side is chosen
// so that no two edges of the cell overlap. Rows: the screen's right, its up, and towards the reader.
function orientation(L) {
  const edges = [L.slice(0, 3), L.slice(3, 6), L.slice(6, 9)].map(unit);
  const axes = (turn, tilt = 0.26) => {
    const up = edges[2], into = unit(cross(up, edges[0])), right = cross(into, up), out = into.map((v) => -v);
    const [ct, st, ci, si] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
    const x = right.map((v, k) => ct * v + st * out[k]), z = right.map((v, k) => -st * v + ct * out[k]);
    return [x, up.map((v, k) => ci * v - si * z[k]), up.map((v, k) => si * v + ci * z[k])];
  };
  const spread = (m) => {
    const flat = edges.map((v) => [0, 1].map((k) => m[k][0] * v[0] + m[k][1] * v[1] + m[k][2] * v[2]));
    return Math.min(...[[0, 1], [0, 2], [1, 2]].map(([i, j]) => Math.abs(flat[i][0] * flat[j][1] - flat[i][1] * flat[j][0])));
  };
  const views = [-0.42, 0.42, -0.8, 0.8, -1.2, 1.2].map((turn) => axes(turn));
  return views.find((m) => spread(m) > 0.16) || views.reduce((best, m) => (spread(m) > spread(best) ? m : best));
}
function quaternion(m) { // (x, y, z, w) of a rotation matrix
  const half = (x, turned) => (turned < 0 ? -1 : 1) * Math.sqrt(Math.max(0, 1 + x)) / 2, [a, b, c] = [0, 1, 2].map((k) => m[k][k]);
  return [half(a - b - c, m[2][1] - m[1][2]), half(b - a - c, m[0][2] - m[2][0]), half(c - a - b, m[1][0] - m[0][1]), half(a + b + c, 1)];
}

// A crystal in 3D. `draw({atoms, lattice, surfaces, repeat, origin, target})`: atoms [{x, y, z, symbol, colour, radius}],
// lattice nine numbers, surfaces as `unpackSurface` returns them, all in Å. The camera is aimed at the cell, or at `target`
// ({lattice, origin}), once: later drawings keep it unless `keep` is false.
function scene(view, box, label) {
  for (const [key, value] of Object.entries({ class: "fw-scene", role: "img", "aria-label": label })) box.setAttribute(key, value);
  const follow = (camera) => { moved = true; viewer?.setView([...viewer.getView().slice(0, 3), ...camera], true); };
  const self = { draw, reset, png, follow, link: (other) => partners.push(other), viewer: null };
  const partners = [];
  let viewer = null, aimed = false, last = null, moved = false; // moved by hand since it was aimed

  const hex = (name) => { // a variable's colour as 3Dmol reads it
    const probe = view.root.appendChild(h("span", { style: `color:var(${name})` }));
    const rgb = getComputedStyle(probe).color.match(/[\d.]+/g)?.slice(0, 3) || [128, 128, 128];
    probe.remove();
    return "#" + rgb.map((c) => Math.round(+c).toString(16).padStart(2, "0")).join("");
  };
  const corners = (n) => [0, n].flatMap((a) => [0, n].flatMap((b) => [0, n].map((c) => [a, b, c])));
  const largest = (atoms = []) => atoms.reduce((most, a) => Math.max(most, a.radius), 0);

  function drawCell({ lattice: L, origin, atoms }) {
    const lengths = [0, 3, 6].map((k) => Math.hypot(L[k], L[k + 1], L[k + 2])), longest = Math.max(...lengths);
    const put = (f) => cartesian(L, f, origin), middle = put([0.5, 0.5, 0.5]);
    for (const from of corners(1)) for (const axis of [0, 1, 2]) {
      if (from[axis]) continue;
      viewer.addCylinder({ start: put(from), end: put(from.map((v, k) => (k === axis ? 1 : v))), color: hex("--fw-soft"), radius: 0.0035 * longest });
    }
    const [right, up] = orientation(L), gap = largest(atoms) + 0.3 + 0.03 * longest;
    const flat = (p) => [right, up].map((v) => v[0] * p[0] + v[1] * p[1] + v[2] * p[2]);
    ["a", "b", "c"].forEach((name, axis) => { // outside the outermost of its four edges, as the crystal is first seen
      const along = unit(flat(L.slice(3 * axis, 3 * axis + 3)));
      const [p, out] = corners(1).filter((f) => !f[axis]).map((f) => {
        const p = put(f.map((v, k) => (k === axis ? 0.5 : v))), [x, y] = flat([p.x - middle.x, p.y - middle.y, p.z - middle.z]);
        return [p, along[0] * y - along[1] * x, y];
      }).reduce((best, edge) => (Math.abs(edge[1]) - 1e-3 * edge[2] > Math.abs(best[1]) - 1e-3 * best[2] ? edge : best));
      const dx = -1.8 * gap * Math.sign(out) * along[1], dy = gap * Math.sign(out) * along[0]; // the text is wider than high
      const position = { x: p.x + dx * right[0] + dy * up[0], y: p.y + dx * right[1] + dy * up[1], z: p.z + dx * right[2] + dy * up[2] };
      viewer.addLabel(`${name} ${lengths[axis].toFixed(1)} Å`, { position, fontSize: 12, fontColor: hex("--fw-fg"), showBackground: false, alignment: "center", inFront: true });
    });
  }
  // The camera looks at the middle of the cell, from where the corners and the atoms on them just fit.
  function aim({ target, ...content }) {
    const { lattice, origin, repeat: n = 1 } = target || content, r = largest(content.atoms), middle = cartesian(lattice, [n / 2, n / 2, n / 2], origin);
    aimed = true;
    moved = false;
    viewer.setView([-middle.x, -middle.y, -middle.z, 0, ...quaternion(orientation(lattice))]);
    viewer.setSlab(-1000, 1000); // Å: nothing is cut away when another cell is drawn under the same camera
    const around = [[r, 0, 0], [-r, 0, 0], [0, r, 0], [0, -r, 0], [0, 0, r], [0, 0, -r]];
    const seen = corners(n).flatMap((f) => {
      const p = cartesian(lattice, f, origin);
      return around.map((d) => viewer.modelToScreen({ x: p.x + d[0], y: p.y + d[1], z: p.z + d[2] }));
    });
    const span = (key) => Math.max(...seen.map((p) => p[key])) - Math.min(...seen.map((p) => p[key]));
    const room = Math.min(0.8 * box.clientWidth / span("x"), 0.84 * box.clientHeight / span("y"));
    if (isFinite(room) && room > 0) viewer.zoom(room);
  }
  function drawAtoms(atoms) {
    const m = viewer.addModel();
    m.addAtoms(atoms.map((a, i) => ({ elem: a.symbol, x: a.x, y: a.y, z: a.z, serial: i, index: i, hetflag: true, bonds: [], bondOrder: [], properties: a })));
    m.setStyle({}, { sphere: { radius: 0.5 } });
    for (const a of m.selectedAtoms({})) {
      const { radius, symbol, colour, opacity = 1 } = a.properties;
      a.style = { sphere: { radius, color: view.elementColour(symbol, colour), opacity } };
    }
    const name = (atom) => {
      if (!atom || atom.tag) return;
      const style = { position: atom, fontSize: 12, fontColor: hex("--fw-fg"), backgroundColor: hex("--fw-bg2"), backgroundOpacity: 0.9 };
      atom.tag = viewer.addLabel(atom.properties.text || atom.elem, style);
    };
    viewer.setHoverable({}, true, name, (atom) => { if (atom?.tag) { viewer.removeLabel(atom.tag); delete atom.tag; } });
  }
  function draw(content, keep = aimed) {
    last = content;
    if (!viewer) return;
    quietly(() => {
      viewer.removeAllModels(); viewer.removeAllShapes(); viewer.removeAllLabels();
      if (content.lattice) drawCell(content);
      if (content.atoms?.length) drawAtoms(content.atoms);
      for (const s of content.surfaces || []) {
        const color = s.colours || view.elementColour(s.symbol, s.colour);
        if (s.faces.length) viewer.addCustom({ vertexArr: s.vertices, normalArr: s.normals, faceArr: s.faces, color, alpha: s.opacity ?? 0.5 });
      }
    });
    if (content.lattice && !keep) aim(content);
    box.dataset.drawn = +(box.dataset.drawn || 0) + 1;
    box.dataset.atoms = (content.atoms || []).length;
    box.dataset.surfaces = (content.surfaces || []).length;
  }
  // The library paints after every label, model and turn of the camera; once at the end is enough.
  function quietly(work) {
    viewer.show = () => viewer;
    try { work(); } finally { delete viewer.show; }
    viewer.render();
  }
  function reset() { if (viewer && last?.lattice) aim(last); }
  async function png() {
    if (!viewer) return null;
    const [width, height] = [box.clientWidth, box.clientHeight];
    const resize = (k) => { viewer.setWidth(k * width); viewer.setHeight(k * height); viewer.render(); };
    resize(2);
    const uri = viewer.pngURI();
    resize(1);
    return new Blob([toBuffer(uri.split(",")[1])], { type: "image/png" });
  }
  // Linked scenes follow the hand here: zoom and direction, once a frame.
  let following = 0;
  const lead = () => {
    moved = true;
    if (following || !partners.length) return;
    following = requestAnimationFrame(() => {
      following = 0;
      if (viewer) for (const other of partners) other.follow(viewer.getView().slice(3));
    });
  };
  // The viewer is made when the page gives the box a size; nothing can be measured before.
  const start = () => {
    const kind = webGL();
    if (kind === "none") {
      const remedy = "This browser offers no WebGL, so nothing can be drawn in 3D. Turn on hardware or software WebGL in its settings, then reload the page.";
      box.replaceChildren(h("div", { class: "fw-blank", role: "alert" }, remedy));
      resized.disconnect();
      return;
    }
    const smooth = kind === "hardware", options = { backgroundColor: hex("--fw-bg"), antialias: smooth, upscale: smooth, orthographic: true, disableFog: true };
    self.viewer = viewer = three().createViewer(box, options);
    if (last) draw(last);
  };
  const resized = new ResizeObserver(() => {
    if (box.clientWidth < 10) return;
    if (!viewer) start(); else { viewer.resize(); if (!moved) reset(); }
  });
  resized.observe(box);
  box.addEventListener("pointermove", (event) => { if (event.buttons) lead(); });
  box.addEventListener("wheel", lead);
  // The wheel scrolls the notebook until the view has the focus.
  box.addEventListener("wheel", (event) => { if (!view.root.contains(document.activeElement)) event.stopPropagation(); }, { capture: true });
  box.addEventListener("pointerdown", () => view.root.focus({ preventScroll: true }));
  view.themed.push(() => { if (viewer) { viewer.setBackgroundColor(hex("--fw-bg")); if (last) draw(last, true); } });
  view.onEnd(() => {
    resized.disconnect();
    for (const canvas of box.querySelectorAll("canvas")) (canvas.getContext("webgl2") || canvas.getContext("webgl"))?.getExtension("WEBGL_lose_context")?.loseContext();
    box.replaceChildren();
    self.viewer = viewer = null;
  });
  return self;
}
function linkCameras(scenes) { for (const a of scenes) for (const b of scenes) if (a !== b) a.link(b); }

// Two decoded crystals side by side under one camera; `draw(scenes, buffer, titles)` takes what Python's `compare_decoded` makes.
function comparison(view, labels) {
  const parts = labels.map((label) => ({ box: h("div", { style: "height:250px" }), head: h("h4", {}, label), text: note() }));
  const legend = h("div", { class: "fw-legend" });
  const pictures = wide(...parts.map((p) => column(240, p.head, p.box, p.text)));
  const scenes = parts.map((p, i) => scene(view, p.box, labels[i]));
  linkCameras(scenes);
  const draw = (contents, buffer, titles) => {
    const seen = new Map();
    contents.forEach((c, i) => {
      for (const thing of [...c.surfaces, ...c.atoms]) seen.set(thing.symbol, thing.colour);
      scenes[i].draw({ lattice: c.lattice, atoms: c.atoms, surfaces: c.surfaces.map((s) => unpackSurface(buffer, s, c.lattice)) });
      parts[i].head.textContent = titles[i];
      parts[i].text.textContent = c.formula || `no crystal (${c.reason})`;
    });
    legend.replaceChildren(...[...seen].map(([symbol, colour]) => view.chip({ symbol, colour })), h("span", {}, "surfaces of both at the same density"));
  };
  return { host: h("div", { class: "fw-wide" }, pictures, legend), draw, reset: () => scenes.forEach((s) => s.reset()) };
}

// ---- Charts
// Positions and labels of the ticks of an axis from low to high (exponents if it is logarithmic), about n of them.
function axisTicks(low, high, log, n) {
  const out = [];
  if (log) {
    const a = Math.floor(low), b = Math.ceil(high), every = Math.max(1, Math.ceil((b - a) / 6));
    const put = (v, text) => { if (v >= low - 1e-9 && v <= high + 1e-9) out.push([v, text]); };
    for (let k = a; k <= b; k += every) put(k, k >= -3 && k <= 4 ? String(+(10 ** k).toFixed(3)) : `1e${k}`);
    if (out.length < 2) for (let k = a; k <= b; k++) for (const f of [2, 5]) put(k + Math.log10(f), formatNumber(f * 10 ** k, 1));
    return out.length > 1 ? out : axisTicks(10 ** low, 10 ** high, false, n).filter(([v]) => v > 0).map(([v, text]) => [Math.log10(v), text]);
  }
  const tick = (v) => (v !== 0 && Math.abs(v) < 1e-3 ? (+v.toPrecision(3)).toExponential() : formatNumber(v, 4)); // short: it stands left of the axis
  const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999);
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) out.push([v, tick(Math.abs(v) < step / 1e6 ? 0 : v)]);
  return out;
}

// A chart in SVG. `draw({lines, points, bands, marks, legend, empty})`; axes are {title, log, min, reverse, bare}. `onBrush` is called with
// [low, high] or null, `onPick` with a point's id.
function chart(view, { title = "", x, y, height = 190, onBrush = null, onPick = null, label = title }) {
  const drawing = svg("svg", { role: "img", "aria-label": label, height }), legend = h("div", { class: "fw-legend" });
  const host = h("div", { class: "fw-chart" }, title ? h("h4", {}, title) : null, drawing, legend);
  const left = 56, top = 8, bottom = height - 36, axes = { x: { ...x }, y: { ...y } };
  let content = {}, scaleX = null, width = 300;

  const place = (axis, v) => (axis.log ? Math.log10(Math.max(v, 1e-300)) : v);
  const drawable = (axis, v) => v !== null && v !== undefined && isFinite(v) && !(axis.log && v <= 0);
  const extent = (axis, name) => {
    const values = [...(content.lines || []).flatMap((line) => line[name]), ...(content.points || []).map((p) => p[name])];
    const good = values.filter((v) => drawable(axis, v)).map((v) => place(axis, v));
    if (!good.length) return null;
    let low = good.reduce((a, b) => Math.min(a, b)), high = good.reduce((a, b) => Math.max(a, b));
    if (axis.min !== undefined) low = Math.min(low, place(axis, axis.min));
    if (high - low < 1e-12) { const pad = axis.log ? 0.5 : Math.abs(high) * 0.1 || 1; low -= pad; high += pad; }
    const pad = (name === "y" ? 0.04 : 0.01) * (high - low);
    return [axis.min === 0 && !axis.log ? 0 : low - pad, high + pad];
  };
  const scale = (axis, [low, high], from, to) => {
    const inner = (v) => from + (v - low) / (high - low) * (to - from), outer = (p) => low + (p - from) / (to - from) * (high - low);
    return Object.assign((v) => inner(place(axis, v)), { inner, back: (p) => (axis.log ? 10 ** outer(p) : outer(p)) });
  };
  const redraw = () => {
    width = Math.max(host.clientWidth || 300, 160);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const right = width - 12, ex = extent(axes.x, "x"), ey = extent(axes.y, "y"), nodes = [];
    if (!ex || !ey) {
      drawing.replaceChildren(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, content.empty || "Nothing to show yet"));
      legend.replaceChildren();
      return;
    }
    const [from, to] = axes.x.reverse ? [right, left] : [left, right], scaleY = scale(axes.y, ey, bottom, top);
    scaleX = scale(axes.x, ex, from, to);
    const upright = (p, attributes) => svg("line", { x1: p, x2: p, y1: top, y2: bottom, ...attributes });
    for (const range of content.bands || []) {
      const [a, b] = range.map((v) => clamp(scaleX(v), left, right));
      nodes.push(svg("rect", { x: a, y: top, width: Math.max(b - a, 1), height: bottom - top, fill: "var(--fw-accent)", opacity: 0.15 }));
    }
    for (const [v, text] of axisTicks(...ex, axes.x.log, Math.max(4, Math.floor(width / 80)))) {
      const p = scaleX.inner(v);
      nodes.push(upright(p, { class: "fw-grid" }), svg("text", { x: p, y: bottom + 14, "text-anchor": "middle" }, text));
    }
    for (const [v, text] of axes.y.bare ? [] : axisTicks(...ey, axes.y.log, Math.max(3, Math.floor(height / 45)))) {
      const p = scaleY.inner(v);
      nodes.push(svg("line", { x1: left, x2: right, y1: p, y2: p, class: "fw-grid" }), svg("text", { x: left - 6, y: p + 4, "text-anchor": "end" }, text));
    }
    nodes.push(svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "fw-frame" }));
    nodes.push(svg("text", { x: (left + right) / 2, y: height - 5, "text-anchor": "middle", class: "fw-axis" }, axes.x.title));
    nodes.push(svg("text", { transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "fw-axis" }, axes.y.title));
    for (const line of content.lines || []) {
      const good = line.x.map((a, i) => drawable(axes.x, a) && drawable(axes.y, line.y[i]));
      const d = line.x.map((a, i) => (good[i] ? `${good[i - 1] ? "L" : "M"}${scaleX(a).toFixed(1)} ${scaleY(line.y[i]).toFixed(1)}` : "")).join("");
      nodes.push(svg("path", { d, fill: "none", stroke: line.colour, "stroke-width": line.width || 1.6, opacity: line.opacity ?? 1, "stroke-dasharray": line.dash || "none", "stroke-linejoin": "round" }));
      if (line.x.length === 1 && good[0]) nodes.push(svg("circle", { cx: scaleX(line.x[0]), cy: scaleY(line.y[0]), r: 3, fill: line.colour }));
    }
    for (const m of content.marks || []) nodes.push(upright(scaleX(m), { stroke: "var(--fw-accent)", "stroke-width": 1.5 }));
    for (const p of content.points || []) {
      if (!drawable(axes.x, p.x) || !drawable(axes.y, p.y)) continue;
      const dot = svg("circle", { cx: scaleX(p.x).toFixed(1), cy: scaleY(p.y).toFixed(1), r: p.r || 3.2, fill: p.colour, stroke: p.on ? "var(--fw-fg)" : "var(--fw-bg)", "stroke-width": p.on ? 2 : 0.6, opacity: p.opacity ?? 1 });
      if (p.text) dot.append(svg("title", {}, p.text));
      if (p.id !== undefined) dot.dataset.id = p.id;
      if (onPick && p.id !== undefined) dot.style.cursor = "pointer";
      nodes.push(dot);
    }
    drawing.replaceChildren(...nodes);
    const named = (content.lines || []).filter((l) => l.name);
    const key = (l) => h("span", {}, h("i", { style: `border-color:${l.colour};border-top-style:${l.dash ? "dashed" : "solid"}` }), l.name);
    legend.replaceChildren(...named.map(key), ...(content.legend || []));
  };
  if (onPick) drawing.addEventListener("click", (event) => { if (event.target.dataset?.id !== undefined) onPick(event.target.dataset.id); });
  if (onBrush) {
    let from = null, moved = false;
    const at = (event) => { const box = drawing.getBoundingClientRect(); return scaleX.back((event.clientX - box.left) / box.width * width); };
    const range = (event) => [from, at(event)].sort((a, b) => a - b);
    drawing.style.touchAction = "none";
    const on = (type, run) => drawing.addEventListener(type, (event) => { if (type === "pointerdown" ? scaleX : from !== null) run(event); });
    on("pointerdown", (event) => {
      if (event.target.dataset?.id !== undefined) return;
      [from, moved] = [at(event), false];
      drawing.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      moved ||= Math.abs(scaleX(at(event)) - scaleX(from)) > 4;
      if (moved) { content.bands = [range(event)]; redraw(); }
    });
    on("pointerup", (event) => { onBrush(moved ? range(event) : null); from = null; });
  }
  const resized = new ResizeObserver(() => { if (Math.abs((host.clientWidth || 300) - width) > 2) redraw(); });
  resized.observe(host);
  view.onEnd(() => resized.disconnect());
  return { host, axes, drawing, draw: (next) => { content = next; redraw(); } };
}

// A canvas at twice the given size, filled with the page's background, and its pen in the given units.
function doubleCanvas(view, width, height) {
  const canvas = h("canvas", { width: 2 * width, height: 2 * height }), pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.fillStyle = view.colour("--fw-bg") || "#fff";
  pen.fillRect(0, 0, width, height);
  return { canvas, pen };
}
async function svgImage(text) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  await image.decode();
  return image;
}

// Charts as one PNG, two in a row, with the page's colours and their legends written into it.
async function chartsToPng(view, charts) {
  const boxes = charts.map((c) => c.drawing.viewBox.baseVal), columns = Math.min(charts.length, 2);
  const wide = Math.max(...boxes.map((b) => b.width)), tall = Math.max(...boxes.map((b) => b.height)) + 24;
  const { canvas, pen } = doubleCanvas(view, columns * wide, Math.ceil(charts.length / columns) * tall);
  pen.font = "11px sans-serif";
  for (const [i, { drawing, host }] of charts.entries()) {
    const copy = drawing.cloneNode(true), live = [...drawing.querySelectorAll("*")], { width, height } = boxes[i];
    [...copy.querySelectorAll("*")].forEach((node, k) => {
      const style = getComputedStyle(live[k]);
      for (const key of ["fill", "stroke", "font-size", "font-family", "opacity"]) node.style.setProperty(key, style.getPropertyValue(key));
    });
    for (const [key, value] of Object.entries({ width: 2 * width, height: 2 * height, xmlns: "http://www.w3.org/2000/svg" })) copy.setAttribute(key, value);
    let left = wide * (i % columns), top = tall * Math.floor(i / columns);
    pen.drawImage(await svgImage(new XMLSerializer().serializeToString(copy)), left, top, width, height);
    left += 60;
    for (const entry of host.querySelectorAll(".fw-legend > span")) {
      const mark = entry.querySelector("i, .fw-dot, .fw-swatch"), style = mark && getComputedStyle(mark);
      pen.fillStyle = !style ? view.colour("--fw-fg") : mark.tagName === "I" ? style.borderTopColor : style.backgroundColor;
      pen.fillText(entry.textContent, left, top + tall - 10);
      left += pen.measureText(entry.textContent).width + 15;
    }
  }
  return toPng(canvas);
}
