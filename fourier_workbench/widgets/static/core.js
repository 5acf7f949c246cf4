// What all views share: the frame with its keys, theme, errors and exports; a 3D scene; a chart; talk with the kernel.
// Views append their own `render` to this text. `MAPS` (colour tables) and `three()` (3Dmol.js, for those that draw
// in 3D) are put before it in Python.

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
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const show = (x, digits = 3) =>
  x === null || x === undefined || Number.isNaN(x) ? "–"
    : Number.isInteger(x) ? String(x)
      : x !== 0 && (Math.abs(x) < 1e-5 || Math.abs(x) >= 1e5) ? (+x.toPrecision(digits)).toExponential() : String(+x.toPrecision(digits));
const minutes = (s) => (s === null || s === undefined || !isFinite(s) ? "" : s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

function save(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Bytes of a trait as one typed array: a DataView in a notebook, base64 in a page without a kernel.
function bytes(value) {
  if (!value) return new ArrayBuffer(0);
  if (typeof value === "string") return Uint8Array.from(atob(value), (c) => c.charCodeAt(0)).buffer;
  const view = value.buffer ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
  return view.slice().buffer; // aligned, and ours
}
const KINDS = { f4: Float32Array, u4: Uint32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array, i1: Int8Array };
const array = (buffer, spec) => new KINDS[spec.type](buffer, spec.at, spec.n);

const isDark = () => {
  const lab = document.body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  const page = document.documentElement.dataset.theme || document.body.dataset.theme; // furo
  if (page === "dark" || page === "light") return page === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
};

const KEYS = [["Space", "play or pause"], ["← →", "one step back, forward"], ["Shift + ← →", "ten steps"], ["Home, End", "first, last"],
  ["R", "reset the view"], ["F", "fullscreen"], ["?", "this help; Esc closes it"]];

const fullIcon = () => {
  const icon = svg("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true", style: "vertical-align:-1px" });
  icon.append(svg("path", { d: "M1 4V1h3M8 1h3v3M11 8v3H8M4 11H1V8", fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
  return icon;
};

// The frame of a view. `actions`: any of play, step(n), first, last, reset. `exports`: [label, hint, function] each.
function frame(model, el, { label, help = [], actions = {}, exports = [], elements = false }) {
  const ends = [];
  const root = h("div", { class: "fw", tabindex: 0, role: "group", "aria-label": label, "data-lm-suppress-shortcuts": "true" });
  const title = h("div", { class: "fw-title", role: "heading", "aria-level": "3" });
  const tools = h("div", { class: "fw-tools", role: "toolbar", "aria-label": `${label}: export and help` });
  const error = h("div", { class: "fw-error", role: "alert", hidden: true });
  const body = h("div", { class: "fw-body" });
  const foot = h("div", { class: "fw-foot", role: "status", "aria-live": "polite" });
  const overlay = h("div", { class: "fw-help", role: "dialog", "aria-label": `${label}: keys`, hidden: true });
  root.append(h("div", { class: "fw-head" }, title, tools), error, body, foot, overlay);
  el.replaceChildren(root);
  const self = { root, body, foot, tools, model, dark: isDark(), onEnd: (f) => ends.push(f), themed: [] };
  self.watch = (names, run) => {
    for (const name of [names].flat()) { model.on(`change:${name}`, run); ends.push(() => model.off(`change:${name}`, run)); }
  };

  const used = KEYS.filter(([key]) => (key === "Space" ? actions.play : key.includes("←") || key.startsWith("Home") ? actions.step : key === "R" ? actions.reset : true));
  const keyList = h("dl");
  for (const [key, what] of [...used, ...help]) keyList.append(h("dt", {}, key), h("dd", {}, what));
  const close = () => { overlay.hidden = true; root.focus({ preventScroll: true }); };
  overlay.append(h("strong", {}, `${label}: keys`), keyList, h("button", { onclick: close }, "Close"));
  const toggleHelp = () => { overlay.hidden = !overlay.hidden; if (!overlay.hidden) overlay.querySelector("button").focus({ preventScroll: true }); };
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.())?.catch?.(() => {});

  for (const [name, hint, run] of exports) tools.append(h("button", { title: hint, "aria-label": hint, onclick: run, "data-export": name }, name));
  const copy = h("button", { title: "Copy the Python that makes this view", "aria-label": "Copy the Python that makes this view" }, "Python");
  copy.onclick = async () => {
    const code = model.get("code");
    try { await navigator.clipboard.writeText(code); self.say("Copied: " + code.split("\n").pop()); } catch { self.say(code); }
  };
  if (elements) {
    const palette = h("button", { "data-palette": "" });
    const named = () => {
      const next = model.get("scheme") === "vesta" ? "Jmol" : "VESTA";
      palette.textContent = model.get("scheme") === "vesta" ? "VESTA" : "Jmol";
      palette.title = `Colours of elements; click for those of ${next}`;
      palette.setAttribute("aria-label", `Element colours: ${palette.textContent}; change to ${next}`);
    };
    palette.onclick = () => { model.set("scheme", model.get("scheme") === "vesta" ? "jmol" : "vesta"); model.save_changes(); };
    self.watch("scheme", () => {
      named();
      for (const dot of root.querySelectorAll("[data-symbol]")) dot.style.background = self.tint(dot.dataset.symbol, dot.style.background);
      for (const run of self.themed) run();
    });
    named();
    tools.append(palette);
  }
  tools.append(copy, h("button", { title: "Fullscreen (F)", "aria-label": "Fullscreen", onclick: full }, fullIcon()),
    h("button", { title: "Keys (?)", "aria-label": "Help: keys", onclick: toggleHelp }, "?"));

  self.say = (text) => { foot.textContent = text; };
  self.fail = (text) => { error.hidden = !text; error.textContent = text; };
  self.busy = (on) => { root.classList.toggle("fw-busy", on); root.setAttribute("aria-busy", on ? "true" : "false"); };
  self.name = () => (model.get("title") || label).replace(/[^\w.()-]+/g, "_");

  const titled = () => { title.replaceChildren(model.get("title") || label, h("small", {}, model.get("subtitle") || "")); };
  const failed = () => self.fail(model.get("error"));
  self.watch(["title", "subtitle"], titled);
  self.watch("error", failed);
  titled(); failed();

  const retheme = () => {
    self.dark = isDark();
    root.classList.toggle("fw-dark", self.dark);
    for (const run of self.themed) run();
  };
  const observer = new MutationObserver(retheme);
  for (const node of [document.body, document.documentElement]) observer.observe(node, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme"] });
  ends.push(() => observer.disconnect());
  root.classList.toggle("fw-dark", self.dark);
  self.colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  // An element's colour in the palette that was picked; a dot of that colour, which always stands beside its symbol.
  self.tint = (symbol, colour) => PALETTES[model.get("scheme")]?.[symbol] || colour;
  self.dot = (symbol, colour) => h("span", { class: "fw-dot", "data-symbol": symbol, style: `background:${self.tint(symbol, colour)}` });
  self.chip = (symbol, colour) => h("span", { class: "fw-chip" }, self.dot(symbol, colour), symbol);

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName, type = event.target.type, key = event.key;
    const writes = tag === "SELECT" || (tag === "INPUT" && !["range", "checkbox"].includes(type));
    if (key === "Escape" && !overlay.hidden) close();
    else if (writes) return;
    else if (key === "?") toggleHelp();
    else if (key === "f" || key === "F") full();
    else if ((key === "r" || key === "R") && actions.reset) actions.reset();
    else if (key === " " && actions.play && tag !== "BUTTON" && type !== "checkbox") actions.play();
    else if (actions.step && (type !== "range" || event.target.dataset.time)) {
      const by = event.shiftKey ? 10 : 1;
      if (key === "ArrowRight") actions.step(by);
      else if (key === "ArrowLeft") actions.step(-by);
      else if (key === "Home") actions.first();
      else if (key === "End") actions.last();
      else return;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // Questions to the kernel: the newest waits while one is on its way, so that a slider never queues up work.
  let sent = 0, answered = 0, waiting = null, alive = null, timer = 0;
  const flush = () => {
    if (answered < sent || !waiting) return;
    const [what, args] = waiting;
    waiting = null;
    sent += 1;
    self.busy(true);
    model.send({ do: what, with: args, id: sent });
  };
  self.ask = (what, args = {}) => { if (alive === false) self.say(self.asleepText); else { waiting = [what, args]; flush(); } };
  self.tell = (what, args = {}) => (alive === false ? self.say(self.asleepText) : model.send({ do: what, with: args, id: 0 })); // for what must not be dropped
  self.files = {};
  const receive = (message, buffers) => {
    if (message.hello) { alive = true; clearTimeout(timer); root.classList.remove("fw-asleep"); if (self.asleepText && foot.textContent === self.asleepText) self.say(""); self.onAlive?.(); }
    if (message.id) { answered = Math.max(answered, message.id); if (answered >= sent) self.busy(false); flush(); }
    if (message.file) save(message.file, new Blob(buffers.map((b) => bytes(b)), { type: message.type }));
    if (message.say) self.say(message.say);
  };
  model.on("msg:custom", receive);
  ends.push(() => model.off("msg:custom", receive));
  const rendered = document.body.dataset.jpThemeLight === undefined && document.body.dataset.theme !== undefined; // a page of the documentation
  self.asleepText = rendered
    ? "A still of what the kernel computed: it turns, plays and filters. To compute anew, open the notebook of this page."
    : "No answer from a kernel: it is busy, or gone. What is here can be turned; to compute, wait, or run the cell again.";
  const sleep = () => { root.classList.add("fw-asleep"); if (!foot.textContent) self.say(self.asleepText); };
  timer = setTimeout(() => { if (alive === null) sleep(); }, 6000);
  try {
    if (rendered) throw new Error("no kernel");
    model.send({ do: "hello", with: {}, id: 0 });
  } catch { alive = false; sleep(); }

  ends.push(() => clearTimeout(timer));
  self.end = () => { for (const end of ends.splice(0).reverse()) end(); };
  return self;
}

// Build a view, and build it anew when one of the traits `names` is replaced: content may arrive after the first look.
function rebuilt(model, names, build) {
  let end = build();
  const again = () => { end(); end = build(); };
  for (const name of names) model.on(`change:${name}`, again);
  return () => { for (const name of names) model.off(`change:${name}`, again); end(); };
}

const slider = (label, { min, max, step = 1, value, unit = "", time = false }, change) => {
  const input = h("input", { type: "range", min, max, step, value, "aria-label": label, "data-time": time || null });
  const output = h("output", {}, unit);
  input.addEventListener("input", () => change(+input.value));
  const row = h("div", { class: "fw-slide" }, h("span", {}, label), input, output);
  return { row, input, output };
};
const check = (label, on, change) => {
  const input = h("input", { type: "checkbox", "aria-label": label });
  input.checked = on;
  input.addEventListener("change", () => change(input.checked));
  return { row: h("label", {}, input, label), input };
};
const pick = (label, options, value, change) => {
  const select = h("select", { "aria-label": label }, ...options.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return { row: h("label", { class: "fw-field" }, label, select), select };
};

// Which WebGL there is: "none", "software" (every pixel is drawn by the processor, so none is drawn twice), or "hardware".
const webGL = () => {
  const probe = document.createElement("canvas"), context = probe.getContext("webgl2") || probe.getContext("webgl");
  if (!context) return "none";
  const about = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name) ? "software" : "hardware";
};

// The direction every crystal is seen from, whatever frame its file used: c up, a to the right, a little from above and aside;
// how far aside is chosen so that no two edges of the cell fall on each other. As a quaternion (x, y, z, w).
function orientation(L) {
  const [a, b, c] = [L.slice(0, 3), L.slice(3, 6), L.slice(6, 9)].map((v) => v.map((x) => x / (Math.hypot(...v) || 1)));
  const spread = (m) => {
    const flat = [a, b, c].map((v) => [0, 1].map((k) => m[k][0] * v[0] + m[k][1] * v[1] + m[k][2] * v[2]));
    return Math.min(...[[0, 1], [0, 2], [1, 2]].map(([i, j]) => Math.abs(flat[i][0] * flat[j][1] - flat[i][1] * flat[j][0])));
  };
  const views = [-0.42, 0.42, -0.8, 0.8, -1.2, 1.2].map((turn) => axes(L, turn, 0.26));
  return quaternion(views.find((m) => spread(m) > 0.16) || views.reduce((best, m) => (spread(m) > spread(best) ? m : best)));
}
function axes(L, turn, tilt) {
  const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
  const unit = (p) => { const n = Math.hypot(...p) || 1; return p.map((v) => v / n); };
  const up = unit(L.slice(6, 9)), into = unit(cross(up, L.slice(0, 3))), right = cross(into, up), out = into.map((v) => -v);
  const [ct, st, ci, si] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const x = right.map((v, k) => ct * v + st * out[k]), z = right.map((v, k) => -st * v + ct * out[k]);
  const y = up.map((v, k) => ci * v - si * z[k]), w = up.map((v, k) => si * v + ci * z[k]);
  return [x, y, w]; // rows: what lies along the screen's right, up and towards the reader
}
function quaternion(m) {
  const trace = m[0][0] + m[1][1] + m[2][2];
  if (trace > 0) { const s = 2 * Math.sqrt(1 + trace); return [(m[2][1] - m[1][2]) / s, (m[0][2] - m[2][0]) / s, (m[1][0] - m[0][1]) / s, s / 4]; }
  const i = [0, 1, 2].reduce((best, k) => (m[k][k] > m[best][best] ? k : best), 0), j = (i + 1) % 3, k = (i + 2) % 3;
  const s = 2 * Math.sqrt(Math.max(1 + m[i][i] - m[j][j] - m[k][k], 1e-12)), q = [0, 0, 0, 0];
  q[i] = s / 4; q[j] = (m[i][j] + m[j][i]) / s; q[k] = (m[i][k] + m[k][i]) / s; q[3] = (m[k][j] - m[j][k]) / s;
  return q;
}

// A crystal in 3D. `draw({atoms, lattice, surfaces})`: atoms [{x, y, z, symbol, colour, radius}], lattice nine numbers,
// surfaces [{vertices, normals, faces, colour | colours, opacity, name}], all in Å.
function scene(view, box, label) {
  box.classList.add("fw-scene");
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", label);
  const self = { draw, reset, png, link, turn: (degrees) => viewer?.rotate(degrees, "y"), viewer: null, failed: false };
  let viewer = null, placed = false, last = null, moved = false; // moved: by hand, since it was framed
  const partners = [];

  const hex = (name) => {
    const probe = h("span", { style: `color:var(${name})` });
    view.root.append(probe);
    const rgb = getComputedStyle(probe).color.match(/[\d.]+/g)?.slice(0, 3) || [128, 128, 128];
    probe.remove();
    return "#" + rgb.map((c) => Math.round(+c).toString(16).padStart(2, "0")).join("");
  };
  const corner = (L, a, b, c) => ({ x: a * L[0] + b * L[3] + c * L[6], y: a * L[1] + b * L[4] + c * L[7], z: a * L[2] + b * L[5] + c * L[8] });
  const cell = (L, origin, ball) => {
    const put = (...at) => { const p = corner(L, ...at); return { x: p.x + origin[0], y: p.y + origin[1], z: p.z + origin[2] }; };
    const colour = hex("--fw-soft"), edges = [0, 3, 6].map((k) => Math.hypot(L[k], L[k + 1], L[k + 2])), thin = 0.0035 * Math.max(Math.hypot(L[0], L[1], L[2]), Math.hypot(L[3], L[4], L[5]), Math.hypot(L[6], L[7], L[8]));
    for (const axis of [0, 1, 2]) for (const p of [0, 1]) for (const q of [0, 1]) {
      const from = [0, 0, 0], others = [0, 1, 2].filter((k) => k !== axis);
      from[others[0]] = p; from[others[1]] = q;
      const to = [...from]; to[axis] = 1;
      viewer.addCylinder({ start: put(...from), end: put(...to), color: colour, radius: thin });
    }
    const mid = put(0.5, 0.5, 0.5);
    ["a", "b", "c"].forEach((name, k) => { // beyond the corner, clear of the ball that may sit there
      const corner = put(...[0, 1, 2].map((i) => (i === k ? 1 : 0))), out = ["x", "y", "z"].map((v) => corner[v] - mid[v]), far = (1.4 * ball + 0.35 + 0.02 * Math.max(...edges)) / (Math.hypot(...out) || 1);
      viewer.addLabel(`${name} ${edges[k].toFixed(1)} Å`, { position: { x: corner.x + far * out[0], y: corner.y + far * out[1], z: corner.z + far * out[2] }, fontSize: 12, fontColor: hex("--fw-fg"), showBackground: false, alignment: "center", inFront: true });
    });
  };
  // All of `repeat` cells in sight.
  const aim = (L, n = 1, origin = [0, 0, 0]) => {
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    const corners = [];
    for (const a of [0, n]) for (const b of [0, n]) for (const c of [0, n]) {
      const p = corner(L, a, b, c);
      corners.push({ elem: "C", bonds: [], bondOrder: [], x: p.x + origin[0], y: p.y + origin[1], z: p.z + origin[2] });
    }
    const ghost = viewer.addModel();
    ghost.addAtoms(corners);
    viewer.zoomTo({ model: ghost });
    viewer.removeModel(ghost);
    viewer.setView([...viewer.getView().slice(0, 4), ...orientation(L)]);
    viewer.setSlab(-1000, 1000); // Å: nothing is cut away when another cell is drawn under the same camera
    placed = true;
  };
  const largest = (atoms) => atoms.reduce((most, a) => Math.max(most, a.radius), 0);
  // The library zooms by the smaller side of a sphere; what counts is what corners and the balls on them take on the screen.
  const fit = ({ lattice, repeat: n = 1, origin = [0, 0, 0], aim: end = null, atoms = [] }) => {
    const L = end || lattice, shift = end ? [0, 1, 2].map((k) => -0.5 * (L[k] + L[3 + k] + L[6 + k])) : origin, r = largest(atoms);
    const seen = [0, n].flatMap((a) => [0, n].flatMap((b) => [0, n].flatMap((c) => {
      const p = corner(L, a, b, c);
      return [[r, 0, 0], [-r, 0, 0], [0, r, 0], [0, -r, 0], [0, 0, r], [0, 0, -r]].map((d) => viewer.modelToScreen({ x: p.x + shift[0] + d[0], y: p.y + shift[1] + d[1], z: p.z + shift[2] + d[2] }));
    })));
    const span = (key) => Math.max(...seen.map((p) => p[key])) - Math.min(...seen.map((p) => p[key]));
    const room = Math.min(0.8 * box.clientWidth / span("x"), 0.84 * box.clientHeight / span("y"));
    if (isFinite(room) && room > 0) viewer.zoom(room);
    moved = false;
  };
  // A film is framed by its last lattice, about the middle of the cell, so that the camera need not move.
  const lookAt = ({ lattice, repeat = 1, origin = [0, 0, 0], aim: last = null }) => {
    const L = last || lattice;
    aim(L, repeat, last ? [0, 1, 2].map((k) => -0.5 * (L[k] + L[3 + k] + L[6 + k])) : origin);
  };
  const balls = (atoms) => {
    const m = viewer.addModel();
    m.addAtoms(atoms.map((a, i) => ({ elem: a.symbol, x: a.x, y: a.y, z: a.z, serial: i, index: i, hetflag: true, bonds: [], bondOrder: [], properties: a })));
    m.setStyle({}, { sphere: { radius: 0.5 } });
    for (const a of m.selectedAtoms({})) a.style = { sphere: { radius: a.properties.radius, color: view.tint(a.properties.symbol, a.properties.colour), opacity: a.properties.opacity ?? 1 } };
    viewer.setHoverable({}, true, (atom) => {
      if (!atom || atom.tag) return;
      atom.tag = viewer.addLabel(atom.properties.text || atom.elem, { position: atom, fontSize: 12, fontColor: hex("--fw-fg"), backgroundColor: hex("--fw-bg2"), backgroundOpacity: 0.9 });
    }, (atom) => { if (atom?.tag) { viewer.removeLabel(atom.tag); delete atom.tag; } });
  };
  const mesh = (s) => {
    const triples = (a) => { const out = new Array(a.length / 3); for (let i = 0; i < out.length; i++) out[i] = { x: a[3 * i], y: a[3 * i + 1], z: a[3 * i + 2] }; return out; };
    viewer.addCustom({ vertexArr: triples(s.vertices), normalArr: triples(s.normals), faceArr: Array.from(s.faces), color: s.colours || view.tint(s.symbol, s.colour), alpha: s.opacity ?? 0.5 });
  };
  function draw(content, keep = placed) {
    last = content;
    if (!viewer) return;
    quietly(() => fill(content, keep));
    if (content.lattice && !keep) fit(content);
    box.dataset.drawn = String(+(box.dataset.drawn || 0) + 1);
    box.dataset.atoms = (content.atoms || []).length;
    box.dataset.surfaces = (content.surfaces || []).length;
  }
  // The library paints after every label, model and turn of the camera: once at the end is enough.
  function quietly(work) {
    viewer.show = () => viewer;
    try { work(); } finally { delete viewer.show; }
    viewer.render();
  }
  function fill(content, keep) {
    viewer.removeAllModels(); viewer.removeAllShapes(); viewer.removeAllLabels();
    const { atoms = [], lattice = null, surfaces = [], repeat = 1, origin = [0, 0, 0] } = content;
    if (lattice) { if (!keep) lookAt(content); cell(lattice, origin, largest(atoms)); }
    if (atoms.length) balls(atoms);
    for (const s of surfaces) if (s.faces.length) mesh(s);
  }
  function reset() { if (viewer && last?.lattice) { quietly(() => lookAt(last)); fit(last); } }
  async function png() {
    if (!viewer) return null;
    const wide = box.clientWidth, tall = box.clientHeight;
    viewer.setWidth(2 * wide); viewer.setHeight(2 * tall); viewer.render();
    const uri = viewer.pngURI();
    viewer.setWidth(wide); viewer.setHeight(tall); viewer.render();
    const raw = atob(uri.split(",")[1]);
    return new Blob([Uint8Array.from(raw, (c) => c.charCodeAt(0))], { type: "image/png" });
  }
  function link(other) {
    if (!partners.includes(other)) partners.push(other);
  }
  // What the hand does here, the linked scenes follow: zoom and direction, once a frame.
  let following = 0;
  const led = () => {
    if (following || !partners.length) return;
    following = requestAnimationFrame(() => {
      following = 0;
      if (viewer) for (const other of partners) other.viewer?.setView([...other.viewer.getView().slice(0, 3), ...viewer.getView().slice(3)], true);
    });
  };
  box.addEventListener("pointermove", (event) => { if (event.buttons) { moved = true; led(); } });
  box.addEventListener("wheel", () => { moved = true; led(); });
  // Nothing can be measured before the page holds the box: the viewer is made when it has a size.
  const start = () => {
    const kind = webGL();
    if (kind === "none") {
      self.failed = true;
      box.replaceChildren(h("div", { class: "fw-blank", role: "alert" }, "This browser offers no WebGL, so nothing can be drawn in 3D. Turn on hardware or software WebGL in its settings, then reload the page."));
      return;
    }
    self.viewer = viewer = three().createViewer(box, { backgroundColor: hex("--fw-bg"), antialias: kind === "hardware", upscale: kind === "hardware", orthographic: true, disableFog: true });
    if (last) draw(last);
  };
  // The wheel scrolls the notebook until the view has the focus.
  box.addEventListener("wheel", (event) => { if (!view.root.contains(document.activeElement)) event.stopPropagation(); }, { capture: true });
  box.addEventListener("pointerdown", () => view.root.focus({ preventScroll: true }));
  view.themed.push(() => { if (viewer) { viewer.setBackgroundColor(hex("--fw-bg")); if (last) draw(last, true); } });
  const resize = new ResizeObserver(() => { if (box.clientWidth < 10) return; if (viewer) { viewer.resize(); if (last?.lattice && !moved) fit(last); } else if (!self.failed) start(); });
  resize.observe(box);
  view.onEnd(() => {
    resize.disconnect();
    for (const canvas of box.querySelectorAll("canvas")) (canvas.getContext("webgl2") || canvas.getContext("webgl"))?.getExtension("WEBGL_lose_context")?.loseContext();
    box.replaceChildren();
    self.viewer = viewer = null;
  });
  return self;
}

// Two crystals side by side under one camera; `draw(scenes, buffer, titles)` takes what Python's `beside` makes.
function pair(view, labels, height = 250) {
  const boxes = labels.map(() => h("div", { style: `height:${height}px` })), heads = labels.map((text) => h("h4", { style: "margin:0;font-size:12px" }, text));
  const words = labels.map(() => h("p", { class: "fw-note" })), legend = h("div", { class: "fw-legend" });
  const host = h("div", { style: "flex:1 1 100%;min-width:0" }, h("div", { class: "fw-body", style: "padding:0" }, ...labels.map((_, i) => h("div", { class: "fw-col", style: "flex-basis:240px;gap:4px" }, heads[i], boxes[i], words[i]))), legend);
  const spaces = labels.map((text, i) => scene(view, boxes[i], text));
  spaces[0].link(spaces[1]); spaces[1].link(spaces[0]);
  const draw = (scenes, buffer, titles) => {
    const seen = new Map();
    scenes.forEach((s, i) => {
      const surfaces = s.surfaces.map((m) => ({ vertices: array(buffer, m.vertices), normals: array(buffer, m.normals), faces: array(buffer, m.faces), symbol: m.symbol, colour: m.colour, opacity: m.opacity }));
      for (const thing of [...s.surfaces, ...s.atoms]) seen.set(thing.symbol, thing.colour);
      spaces[i].draw({ lattice: s.lattice, atoms: s.atoms, surfaces });
      heads[i].textContent = titles[i];
      words[i].textContent = s.formula || `no crystal (${s.reason})`;
    });
    legend.replaceChildren(...[...seen].map(([symbol, colour]) => view.chip(symbol, colour)), h("span", {}, "surfaces of both at the same density"));
  };
  return { host, spaces, draw, reset: () => spaces.forEach((s) => s.reset()) };
}

// A chart in SVG. `draw({lines, points, bands, marks})`; axes carry title and unit. onBrush([x0, x1] | null), onPick(id).
function chart(view, { title, x, y, height = 190, onBrush = null, onPick = null, label }) {
  const host = h("div", { class: "fw-chart" }, title ? h("h4", {}, title) : null);
  const drawing = svg("svg", { role: "img", "aria-label": label || title, height });
  const legend = h("div", { class: "fw-legend" });
  host.append(drawing, legend);
  const margin = { left: 56, right: 12, top: 8, bottom: 36 };
  let content = { lines: [], points: [] }, scaleX = null, scaleY = null, width = 300;
  const axes = { x: { ...x }, y: { ...y } };

  const ticks = (low, high, log, n) => {
    if (log) {
      const a = Math.floor(low), b = Math.ceil(high), every = Math.max(1, Math.ceil((b - a) / 6)), out = [];
      for (let k = a; k <= b; k += every) if (k >= low - 1e-9 && k <= high + 1e-9) out.push([k, k >= -3 && k <= 4 ? String(+(10 ** k).toFixed(3)) : `1e${k}`]);
      if (out.length < 2) for (const f of [2, 5]) for (let k = a; k <= b; k++) { const v = k + Math.log10(f); if (v > low && v < high) out.push([v, show(10 ** v, 1)]); }
      return out.length > 1 ? out : ticks(10 ** low, 10 ** high, false, n).filter(([v]) => v > 0).map(([v, text]) => [Math.log10(v), text]);
    }
    const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999);
    const out = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) out.push([v, show(Math.abs(v) < step / 1e6 ? 0 : v, 4)]);
    return out;
  };
  const extent = (axis, name) => {
    let low = Infinity, high = -Infinity;
    const take = (v) => { if (v === null || v === undefined || !isFinite(v) || (axis.log && v <= 0)) return; const w = axis.log ? Math.log10(v) : v; if (w < low) low = w; if (w > high) high = w; };
    for (const line of content.lines || []) for (const v of line[name]) take(v);
    for (const point of content.points || []) take(point[name]);
    if (axis.min !== undefined) low = Math.min(low, axis.log ? Math.log10(axis.min) : axis.min);
    if (axis.max !== undefined) high = Math.max(high, axis.log ? Math.log10(axis.max) : axis.max);
    if (low === Infinity) return null;
    if (high - low < 1e-12) { const pad = axis.log ? 0.5 : Math.abs(high) * 0.1 || 1; low -= pad; high += pad; }
    const pad = name === "y" ? 0.04 * (high - low) : 0.01 * (high - low);
    return [axis.min === 0 && !axis.log ? 0 : low - pad, high + pad];
  };
  const draw = () => {
    width = Math.max(host.clientWidth || 300, 160);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    const right = width - margin.right, bottom = height - margin.bottom;
    const ex = extent(axes.x, "x"), ey = extent(axes.y, "y");
    const nodes = [];
    if (!ex || !ey) {
      drawing.replaceChildren(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, content.empty || "Nothing to show yet"));
      legend.replaceChildren();
      return;
    }
    const to = (axis, e, a, b) => (v) => a + ((axis.log ? Math.log10(Math.max(v, 1e-300)) : v) - e[0]) / (e[1] - e[0]) * (b - a);
    const [from, til] = axes.x.reverse ? [right, margin.left] : [margin.left, right];
    scaleX = to(axes.x, ex, from, til); scaleY = to(axes.y, ey, bottom, margin.top);
    scaleX.back = (p) => { const v = ex[0] + (p - from) / (til - from) * (ex[1] - ex[0]); return axes.x.log ? 10 ** v : v; };
    for (const [low, high] of content.bands || []) {
      const a = clamp(scaleX(low), margin.left, right), b = clamp(scaleX(high), margin.left, right);
      nodes.push(svg("rect", { x: a, y: margin.top, width: Math.max(b - a, 1), height: bottom - margin.top, fill: "var(--fw-accent)", opacity: 0.15 }));
    }
    const share = (axis, e) => (v) => (v - e[0]) / (e[1] - e[0]);
    for (const [v, text] of ticks(ex[0], ex[1], axes.x.log, Math.max(4, Math.floor(width / 80)))) {
      const p = from + share(axes.x, ex)(v) * (til - from);
      nodes.push(svg("line", { x1: p, x2: p, y1: margin.top, y2: bottom, class: "fw-grid" }), svg("text", { x: p, y: bottom + 14, "text-anchor": "middle" }, text));
    }
    for (const [v, text] of ticks(ey[0], ey[1], axes.y.log, Math.max(3, Math.floor(height / 45)))) {
      const p = bottom - share(axes.y, ey)(v) * (bottom - margin.top);
      nodes.push(svg("line", { x1: margin.left, x2: right, y1: p, y2: p, class: "fw-grid" }), svg("text", { x: margin.left - 6, y: p + 4, "text-anchor": "end" }, text));
    }
    nodes.push(svg("rect", { x: margin.left, y: margin.top, width: right - margin.left, height: bottom - margin.top, class: "fw-frame" }));
    nodes.push(svg("text", { x: (margin.left + right) / 2, y: height - 5, "text-anchor": "middle", class: "fw-axis" }, axes.x.title));
    nodes.push(svg("text", { x: 0, y: 0, transform: `translate(12 ${(margin.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "fw-axis" }, axes.y.title));
    for (const line of content.lines || []) {
      let d = "", pen = "M";
      for (let i = 0; i < line.x.length; i++) {
        const a = line.x[i], b = line.y[i];
        if (b === null || b === undefined || !isFinite(b) || (axes.y.log && b <= 0) || (axes.x.log && a <= 0)) { pen = "M"; continue; }
        d += `${pen}${scaleX(a).toFixed(1)} ${scaleY(b).toFixed(1)}`;
        pen = "L";
      }
      nodes.push(svg("path", { d, fill: "none", stroke: line.colour, "stroke-width": line.width || 1.6, opacity: line.opacity ?? 1, "stroke-dasharray": line.dash || "none", "stroke-linejoin": "round" }));
    }
    for (const line of content.lines || []) { // a line of one point is a dot
      if (line.x.length === 1 && isFinite(line.y[0]) && line.y[0] !== null) nodes.push(svg("circle", { cx: scaleX(line.x[0]), cy: scaleY(line.y[0]), r: 3, fill: line.colour }));
    }
    for (const m of content.marks || []) nodes.push(svg("line", { x1: scaleX(m), x2: scaleX(m), y1: margin.top, y2: bottom, stroke: "var(--fw-accent)", "stroke-width": 1.5 }));
    for (const p of content.points || []) {
      if (!isFinite(p.x) || !isFinite(p.y) || (axes.y.log && p.y <= 0)) continue;
      const dot = svg("circle", { cx: scaleX(p.x).toFixed(1), cy: scaleY(p.y).toFixed(1), r: p.r || 3.2, fill: p.colour, stroke: p.on ? "var(--fw-fg)" : "var(--fw-bg)", "stroke-width": p.on ? 2 : 0.6, opacity: p.opacity ?? 1 });
      if (p.text) dot.append(svg("title", {}, p.text));
      if (p.id !== undefined) dot.dataset.id = p.id;
      if (onPick && p.id !== undefined) dot.style.cursor = "pointer";
      nodes.push(dot);
    }
    drawing.replaceChildren(...nodes);
    legend.replaceChildren(...(content.lines || []).filter((l) => l.name).map((l) => h("span", {}, h("i", { style: `border-color:${l.colour};border-top-style:${l.dash ? "dashed" : "solid"}` }), l.name)), ...(content.legend || []));
  };
  const place = (event) => (event.clientX - drawing.getBoundingClientRect().left) / drawing.getBoundingClientRect().width * width;
  if (onPick) drawing.addEventListener("click", (event) => { if (event.target.dataset?.id !== undefined) onPick(event.target.dataset.id); });
  if (onBrush) {
    let from = null, moved = false;
    drawing.style.touchAction = "none";
    drawing.addEventListener("pointerdown", (event) => { if (scaleX && event.target.dataset?.id === undefined) { from = scaleX.back(place(event)); moved = false; drawing.setPointerCapture(event.pointerId); } });
    drawing.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const at = scaleX.back(place(event));
      if (Math.abs(scaleX(at) - scaleX(from)) > 4) moved = true;
      if (moved) { content.bands = [[Math.min(from, at), Math.max(from, at)]]; draw(); }
    });
    drawing.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const at = scaleX.back(place(event));
      onBrush(moved ? [Math.min(from, at), Math.max(from, at)] : null);
      from = null;
    });
  }
  const resize = new ResizeObserver(() => { if (Math.abs((host.clientWidth || 300) - width) > 2) draw(); });
  resize.observe(host);
  view.onEnd(() => resize.disconnect());
  return { host, axes, draw: (next) => { content = next || content; draw(); }, svg: drawing };
}

// Charts as one PNG at twice their size, two in a row, with the page's colours and their legends written into it.
async function chartsToPng(view, charts) {
  const cells = charts.map((c) => ({ drawing: c.svg, names: [...c.host.querySelectorAll(".fw-legend > span")].map((n) => [n.textContent, n.querySelector("i, .fw-dot")]) }));
  const columns = Math.min(cells.length, 2), wide = Math.max(...cells.map((c) => c.drawing.viewBox.baseVal.width)), tall = Math.max(...cells.map((c) => c.drawing.viewBox.baseVal.height)) + 24;
  const canvas = h("canvas", { width: 2 * columns * wide, height: 2 * Math.ceil(cells.length / columns) * tall }), pen = canvas.getContext("2d");
  pen.fillStyle = view.colour("--fw-bg") || "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const [i, cell] of cells.entries()) {
    const left = 2 * wide * (i % columns), top = 2 * tall * Math.floor(i / columns), image = new Image();
    image.src = URL.createObjectURL(await svgToPng(view, cell.drawing));
    await image.decode();
    pen.drawImage(image, left, top);
    URL.revokeObjectURL(image.src);
    pen.font = "22px sans-serif";
    let at = left + 120;
    for (const [name, mark] of cell.names) {
      const style = mark && getComputedStyle(mark);
      pen.fillStyle = style ? (mark.tagName === "I" ? style.borderTopColor : style.backgroundColor) : view.colour("--fw-fg");
      pen.fillText(name, at, top + 2 * tall - 20);
      at += pen.measureText(name).width + 30;
    }
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// An SVG drawing as PNG at twice its size, with the page's colours written into it.
async function svgToPng(view, drawing) {
  const copy = drawing.cloneNode(true), box = drawing.viewBox.baseVal;
  const live = [...drawing.querySelectorAll("*")], dead = [...copy.querySelectorAll("*")];
  live.forEach((node, i) => { const s = getComputedStyle(node); for (const key of ["fill", "stroke", "font-size", "font-family", "opacity"]) dead[i].style.setProperty(key, s.getPropertyValue(key)); });
  copy.setAttribute("width", 2 * box.width); copy.setAttribute("height", 2 * box.height);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  await image.decode();
  const canvas = h("canvas", { width: 2 * box.width, height: 2 * box.height }), pen = canvas.getContext("2d");
  pen.fillStyle = view.colour("--fw-bg") || "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
