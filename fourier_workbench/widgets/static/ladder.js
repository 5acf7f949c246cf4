// Ladder heat map: depth × token by channel, over training steps; a click switches a channel off and decodes without it.
const render = defineView({
  label: "ladder heat map", empty: "There is no ladder to show yet.",
  ready: (model) => model.get("content").steps?.length, rebuildOn: ["content"],
  build(view) {
    const { model, el, body } = view, content = model.get("content"), { steps, kept, schedule, metrics, example } = content;
    const [levels, tokens, channels] = content.shape, height = levels * tokens, C = height * channels, total = steps.length, several = total > 1;
    const buffer = toBuffer(model.get("data")), masks = typedArray(buffer, content.mask), selectors = typedArray(buffer, content.selector);
    const signal = content.signal ? typedArray(buffer, content.signal) : null, off = () => model.get("ablated");
    let both = null;

    const metric = menu("show", Object.entries(metrics).filter(([name]) => name !== "signal" || signal), signal ? "signal" : "mask", () => draw());
    const player = playback(view, {
      label: "step", count: total, start: total - 1, speeds: [2, 5, 10], speed: 5,
      text: (k) => `${steps[k]}  (${kept[k]} of ${C})`, show: () => draw(),
    });
    player.row.append(player.rate);
    player.row.hidden = !several;
    const size = `height:${clamp(Math.floor(300 / height), 4, 22) * height}px`;
    const canvas = h("canvas", { class: "fw-heat", width: channels, height, tabindex: -1, role: "img", "aria-label": "heat map, rows are levels and tokens, columns are channels", style: size });
    const marks = svg("svg", { viewBox: `0 0 ${channels} ${height}`, preserveAspectRatio: "none", class: "fw-over", "aria-hidden": "true" });
    const rows = h("div", { class: "fw-levels", style: `grid-template-rows:repeat(${levels},1fr);${size}` },
      ...Array.from({ length: levels }, (_, l) => h("div", {}, levels > 12 && l % 2 ? "" : `level ${l + 1}`)));
    const below = h("div", { class: "fw-below" }, "1", h("span", {}, "channel (complex)"), String(channels));
    const [scaleTitle, low, high] = [h("span", { style: "color:var(--fw-fg)" }), h("span"), h("span")];
    const scale = h("div", { class: "fw-row fw-note" }, scaleTitle, low,
      h("span", { class: "fw-scale", role: "img", "aria-label": "cividis colour scale", style: `background:linear-gradient(90deg,${MAPS.magnitude.join(",")})` }), high, swatch("none", "pruned"));
    const pointed = note({ "data-hover": "" }, `Rows: ${plural(tokens, "token")} for each level. Point at a channel to read it.`), ablation = note({ "data-ablation": "" });
    const plot = chart(view, { title: "Channels kept", label: "channels kept against training step, with the schedule", height: 170, x: { title: "training step" }, y: { title: "channels", min: 0 } });
    const ranked = chart(view, { title: "Channels by strength", label: "kept channels sorted by strength", height: 170, x: { title: "channel, strongest first" }, y: { title: "", log: true } });
    const decodings = h("div", { class: "fw-wide" });
    body.append(wide(metric.row, scale), player.row, h("div", { class: "fw-wide fw-map" }, rows, h("div", { style: "position:relative;min-width:0" }, canvas, marks), h("span"), below),
      h("div", { class: "fw-wide" }, pointed, ablation), decodings, several ? column(280, plot.host) : "", column(280, ranked.host));

    const selected = (c) => selectors[player.now * C + c];
    const value = (name, c) => (name === "selector" ? selected(c) : !selected(c) ? NaN : (name === "mask" ? masks : signal)[player.now * C + c]);
    const rgb = MAPS.magnitude.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    function draw() {
      const now = player.now, name = metric.select.value, values = Float32Array.from({ length: C }, (_, c) => value(name, c));
      const top = name === "selector" ? 1 : Math.max(...values.filter(Number.isFinite), 1e-9); // all metrics begin at 0
      const pen = canvas.getContext("2d"), image = pen.createImageData(channels, height);
      values.forEach((v, c) => { if (Number.isFinite(v)) image.data.set([...rgb[Math.round(63 * clamp(v / top, 0, 1))], 255], 4 * c); });
      pen.clearRect(0, 0, channels, height);
      pen.putImageData(image, 0, 0);
      [scaleTitle.textContent, low.textContent, high.textContent] = [metrics[name], "0", formatNumber(top)];
      Object.assign(el.dataset, { step: steps[now], kept: kept[now] });
      marks.replaceChildren(...off().map((c) => svg("rect", { x: (c % channels) + 0.06, y: Math.floor(c / channels) + 0.06, width: 0.88, height: 0.88, fill: "none", stroke: "#ff4d4d", "stroke-width": 2, "vector-effect": "non-scaling-stroke" })));
      const lines = [{ x: steps, y: kept, colour: "var(--fw-1)", name: "kept" }, ...(schedule.length ? [{ x: steps, y: schedule, colour: "var(--fw-2)", dash: "5 4", name: "schedule" }] : [])];
      plot.draw({ lines, points: [{ x: steps[now], y: kept[now], colour: "var(--fw-accent)", r: 5, text: `step ${steps[now]}: ${kept[now]} channels` }] });
      const shown = name !== "selector" ? name : signal ? "signal" : "mask";
      const sorted = Array.from({ length: C }, (_, c) => value(shown, c)).filter((v) => v > 0).sort((a, b) => b - a);
      ranked.axes.y.title = metrics[shown];
      ranked.draw({ lines: [{ x: sorted.map((_, i) => i + 1), y: sorted, colour: "var(--fw-3)" }], empty: "No channel is kept" });
      const hint = signal ? `Click channels to switch them off; ${example} is decoded without them.` : "";
      ablation.replaceChildren(...(off().length ? [h("b", {}, `${plural(off().length, "channel")} off (${example}): `), model.get("ablation")] : [hint]));
    }
    function drawDecoded() {
      const scenes = model.get("scenes"), n = off().length;
      if (!scenes.length) return;
      if (!both) decodings.append((both = comparison(view, ["decoded with all channels", "decoded without the ablated channels"])).host);
      both.draw(scenes, toBuffer(model.get("meshes")), [`${example}, decoded from all kept channels`, n ? `without ${plural(n, "channel")}` : "the same: no channel is off yet"]);
    }
    const place = (c) => { const line = Math.floor(c / channels); return [Math.floor(line / tokens) + 1, line % tokens + 1, c % channels + 1]; };
    const at = (event) => {
      const box = canvas.getBoundingClientRect(), index = (p, size, n) => clamp(Math.floor(p / size * n), 0, n - 1);
      return index(event.clientY - box.top, box.height, height) * channels + index(event.clientX - box.left, box.width, channels);
    };
    canvas.addEventListener("pointermove", (event) => {
      const c = at(event), [level, token, channel] = place(c), strength = signal ? `|μ|/e^σ ${formatNumber(value("signal", c))}, ` : "";
      pointed.textContent = `level ${level}, token ${token}, channel ${channel}: ${selected(c) ? `${strength}|mask| ${formatNumber(value("mask", c))}` : "pruned"}`;
    });
    canvas.addEventListener("click", (event) => {
      const c = at(event), next = new Set(off());
      if (!selectors[(total - 1) * C + c]) { view.status("This channel is pruned already."); return; }
      if (!next.delete(c)) next.add(c);
      view.request("ablate", { channels: [...next] });
    });
    view.watch(["ablated", "ablation"], draw);
    view.watch("scenes", drawDecoded);
    requestAnimationFrame(() => { player.refresh(); drawDecoded(); });
    const picture = () => {
      const big = h("canvas", { width: 16 * channels, height: 16 * height }), pen = big.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(canvas, 0, 0, big.width, big.height);
      return toPng(big);
    };
    return {
      actions: { ...player.actions, reset: () => { if (off().length) view.request("ablate", { channels: [] }); both?.reset(); player.actions.last(); } },
      help: [["click a channel", "switch it off and decode without it"]],
      fileName: () => `${model.get("title")}_${steps[player.now]}`,
      files: {
        PNG: ["the heat map", picture],
        CIF: ["the crystal decoded without the ablated channels", () => view.request("cif")],
        CSV: ["the channels of this step", () => [["level", "token", "channel", "kept", "mask", ...(signal ? ["signal"] : [])],
          ...Array.from({ length: C }, (_, c) => [...place(c), selected(c), masks[player.now * C + c], ...(signal ? [signal[player.now * C + c]] : [])])]],
      },
    };
  },
});
