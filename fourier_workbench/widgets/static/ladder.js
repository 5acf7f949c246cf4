// Ladder heat map: depth × token by channel, over training steps; a click silences a channel and decodes without it.
function build({ model, el }) {
  const LABEL = "ladder heat map";
  const content = model.get("content");
  const total = () => (content.steps || []).length;
  const view = frame(model, el, {
    label: LABEL, elements: true,
    actions: { play: () => run(!playing), step: (n) => { run(false); go(now + n); }, first: () => { run(false); go(0); }, last: () => { run(false); go(total() - 1); }, reset: () => { run(false); if (model.get("silent").length) view.ask("silence", { channels: [] }); both?.reset(); go(total() - 1); } },
    help: [["click a channel", "switch it off and decode without it"]],
    exports: [["PNG", "Save the heat map as PNG", async () => save(`${view.name()}.png`, await picture())], ["HTML", "Save the view as one offline page", () => view.ask("html")], ["CIF", "Save the crystal decoded without the silent channels as CIF", () => view.ask("cif")], ["CSV", "Save the channels of this step as CSV", () => csv()]],
  });
  if (!total()) { view.body.append(h("div", { class: "fw-blank" }, "No ladder to show yet.")); return () => view.end(); }
  const [levels, tokens, channels] = content.shape, rowsN = levels * tokens, C = rowsN * channels;
  const buffer = bytes(model.get("data")), masks = array(buffer, content.mask), selectors = array(buffer, content.selector);
  const strength = content.signal ? array(buffer, content.signal) : null;
  let now = total() - 1, playing = 0, both = null;
  const decodings = h("div", { style: "flex:1 1 100%;min-width:0" });

  const options = Object.entries(content.metrics).filter(([k]) => k !== "signal" || strength);
  const metric = pick("show", options, strength ? "signal" : "mask", () => draw());
  const time = slider("step", { min: 0, max: Math.max(total() - 1, 0), value: now, time: true }, (v) => { run(false); go(v); });
  time.row.style.flex = "1 1 240px";
  const button = h("button", { "aria-label": "play", style: "min-width:64px", onclick: () => run(!playing) }, "▶ Play");
  const timeRow = h("div", { class: "fw-row", style: "flex:1 1 100%" }, button, time.row);
  timeRow.hidden = total() < 2;
  const cell = clamp(Math.floor(300 / rowsN), 4, 22);
  const canvas = h("canvas", { class: "fw-heat", width: channels, height: rowsN, tabindex: -1, role: "img", "aria-label": "heat map, rows are levels and tokens, columns are channels", style: `height:${cell * rowsN}px` });
  const over = svg("svg", { viewBox: `0 0 ${channels} ${rowsN}`, preserveAspectRatio: "none", style: "position:absolute;inset:0;width:100%;height:100%;pointer-events:none", "aria-hidden": "true" });
  const left = h("div", { style: `display:grid;grid-template-rows:repeat(${levels},1fr);height:${cell * rowsN}px;font-size:11px;color:var(--fw-soft);text-align:right;padding-right:6px;white-space:nowrap` }, ...Array.from({ length: levels }, (_, l) => h("div", { style: "display:flex;align-items:center;justify-content:flex-end;border-top:1px solid var(--fw-line)" }, levels > 12 && l % 2 ? "" : `level ${l + 1}`)));
  const below = h("div", { style: "display:flex;justify-content:space-between;font-size:11px;color:var(--fw-soft)" }, "1", h("span", { style: "color:var(--fw-fg)" }, "channel (complex)"), String(channels));
  const low = h("span", {}), high = h("span", {}), scaleTitle = h("span", { style: "color:var(--fw-fg)" });
  const scale = h("div", { class: "fw-row", style: "font-size:11px;color:var(--fw-soft)" }, scaleTitle, low, h("span", { role: "img", "aria-label": "cividis colour scale", style: `width:160px;height:10px;background:linear-gradient(90deg,${MAPS.magnitude.join(",")})` }), high, h("span", { class: "fw-chip" }, h("span", { style: "width:10px;height:10px;border:1px solid var(--fw-line)" }), "pruned"));
  const words = h("p", { class: "fw-note", "data-hover": "" }, `Rows: ${tokens} token${tokens > 1 ? "s" : ""} a level. Point at a channel to read it.`);
  const lost = h("p", { class: "fw-note", "data-ablation": "" });
  const plot = chart(view, { title: "Channels kept", label: "channels kept against training step, with the schedule", height: 170, x: { title: "training step" }, y: { title: "channels", min: 0 } });
  const hist = chart(view, { title: "Channels by strength", label: "kept channels sorted by strength", height: 170, x: { title: "channel, loudest first" }, y: { title: "", log: true } });
  view.body.append(h("div", { class: "fw-row", style: "flex:1 1 100%" }, metric.row, scale), timeRow,
    h("div", { style: "flex:1 1 100%;display:grid;grid-template-columns:auto 1fr;min-width:0" }, left, h("div", { style: "position:relative;min-width:0" }, canvas, over), h("span"), below),
    h("div", { style: "flex:1 1 100%" }, words, lost), decodings, total() > 1 ? h("div", { class: "fw-col", style: "flex-basis:280px" }, plot.host) : "", h("div", { class: "fw-col", style: "flex-basis:280px" }, hist.host));

  const value = (name, c) => (name === "selector" ? selectors[now * C + c] : !selectors[now * C + c] ? NaN : name === "mask" ? masks[now * C + c] : strength[now * C + c]);
  const rgb = MAPS.magnitude.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  function draw() {
    const name = metric.select.value, values = Float32Array.from({ length: C }, (_, c) => value(name, c));
    const finite = [...values].filter(Number.isFinite), top = name === "selector" ? 1 : Math.max(...finite, 1e-9), bottom = name === "selector" ? 0 : Math.min(0, ...finite);
    const pen = canvas.getContext("2d"), image = pen.createImageData(channels, rowsN);
    values.forEach((v, c) => {
      if (!Number.isFinite(v)) return;
      const [r, g, b] = rgb[Math.round(63 * clamp((v - bottom) / (top - bottom || 1), 0, 1))];
      image.data.set([r, g, b, 255], 4 * c);
    });
    pen.clearRect(0, 0, channels, rowsN);
    pen.putImageData(image, 0, 0);
    scaleTitle.textContent = content.metrics[name]; low.textContent = show(bottom, 2); high.textContent = show(top, 3);
    time.output.textContent = `${content.steps[now]}  (${content.kept[now]} of ${C})`;
    time.input.value = now;
    el.dataset.step = content.steps[now]; el.dataset.kept = content.kept[now];
    over.replaceChildren(...model.get("silent").map((c) => svg("rect", { x: (c % channels) + 0.06, y: Math.floor(c / channels) + 0.06, width: 0.88, height: 0.88, fill: "none", stroke: "#ff4d4d", "stroke-width": 2, "vector-effect": "non-scaling-stroke" })));
    const lines = total() > 1 ? [{ x: content.steps, y: content.kept, colour: "var(--fw-1)", name: "kept" }] : [];
    if (total() > 1 && content.schedule.length) lines.push({ x: content.steps, y: content.schedule, colour: "var(--fw-2)", dash: "5 4", name: "schedule" });
    plot.draw({ lines, points: [{ x: content.steps[now], y: content.kept[now], colour: "var(--fw-accent)", r: 5, text: `step ${content.steps[now]}: ${content.kept[now]} channels` }] });
    const shown = name === "selector" ? (strength ? "signal" : "mask") : name, sorted = Array.from({ length: C }, (_, c) => value(shown, c)).filter((v) => Number.isFinite(v) && v > 0).sort((a, b) => b - a);
    hist.axes.y.title = content.metrics[shown];
    hist.draw({ lines: [{ x: sorted.map((_, i) => i + 1), y: sorted, colour: "var(--fw-3)" }], empty: "No channel is kept" });
    const off = model.get("silent").length;
    lost.replaceChildren(...(off ? [h("b", {}, `${off} channel${off > 1 ? "s" : ""} off (${content.example}): `), model.get("ablation")] : [strength ? `Click channels to switch them off; ${content.example} is decoded without them.` : ""]));
  }
  function decoded() {
    const scenes = model.get("scenes"), off = model.get("silent").length;
    if (!scenes.length) return;
    if (!both) { both = pair(view, ["decoded with all channels", "decoded without the silent ones"]); decodings.append(both.host); }
    both.draw(scenes, bytes(model.get("meshes")), [`${content.example}, decoded from all kept channels`, off ? `without ${off} channel${off > 1 ? "s" : ""}` : "the same: no channel is off yet"]);
  }
  const at = (event) => { const box = canvas.getBoundingClientRect(); return clamp(Math.floor((event.clientY - box.top) / box.height * rowsN), 0, rowsN - 1) * channels + clamp(Math.floor((event.clientX - box.left) / box.width * channels), 0, channels - 1); };
  canvas.addEventListener("pointermove", (event) => {
    const c = at(event), row = Math.floor(c / channels), parts = [`level ${Math.floor(row / tokens) + 1}, token ${row % tokens + 1}, channel ${c % channels + 1}:`];
    if (!selectors[now * C + c]) parts.push("pruned");
    else { if (strength) parts.push(`|μ|/e^σ ${show(strength[now * C + c])},`); parts.push(`|mask| ${show(masks[now * C + c])}`); }
    words.textContent = parts.join(" ");
  });
  canvas.addEventListener("click", (event) => {
    const c = at(event);
    if (!selectors[(total() - 1) * C + c]) { view.say("This channel is pruned already."); return; }
    const off = new Set(model.get("silent"));
    off.has(c) ? off.delete(c) : off.add(c);
    view.ask("silence", { channels: [...off] });
  });
  function go(k) { now = clamp(k, 0, total() - 1); draw(); }
  function run(on) {
    if (on === !!playing || total() < 2) return;
    clearInterval(playing); playing = 0;
    if (on) { if (now >= total() - 1) now = 0; playing = setInterval(() => { go(now + 1); if (now >= total() - 1) run(false); }, 200); }
    button.textContent = on ? "❚❚ Pause" : "▶ Play"; button.setAttribute("aria-label", on ? "pause" : "play");
  }
  const picture = () => {
    const k = 16, big = h("canvas", { width: channels * k, height: rowsN * k }), pen = big.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, big.width, big.height);
    return new Promise((done) => big.toBlob(done, "image/png"));
  };
  const csv = () => {
    const lines = ["level,token,channel,kept,mask" + (strength ? ",signal" : "")];
    for (let c = 0; c < C; c++) { const row = Math.floor(c / channels); lines.push([Math.floor(row / tokens) + 1, row % tokens + 1, c % channels + 1, selectors[now * C + c], masks[now * C + c], ...(strength ? [strength[now * C + c]] : [])].join(",")); }
    save(`${view.name()}_${content.steps[now]}.csv`, lines.join("\n") + "\n", "text/csv");
  };
  view.watch(["silent", "ablation"], draw);
  view.watch("scenes", decoded);
  view.onEnd(() => clearInterval(playing));
  requestAnimationFrame(() => { draw(); decoded(); });
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["content"], () => build({ model, el }));
