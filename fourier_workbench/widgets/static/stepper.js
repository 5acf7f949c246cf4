// Recovery stepper: atoms as they were found, what no atom explains yet, and the residual; the page owns the clock.
function build({ model, el }) {
  const LABEL = "recovery stepper";
  const film = () => model.get("film"), frames = () => film().frames || [], count = () => frames().length;
  const view = frame(model, el, {
    label: LABEL, elements: true,
    actions: { play: () => run(!playing), step: (n) => { run(false); go(now + n); }, first: () => { run(false); go(0); }, last: () => { run(false); go(count() - 1); }, reset: () => { run(false); space.reset(); go(0); } },
    help: [["drag, wheel", "turn, zoom"], ["click a point of the chart", "go to that step"]],
    exports: [["PNG", "Save the 3D picture as PNG at twice its size", async () => { const blob = await space.png(); if (blob) save(`${view.name()}_${now + 1}.png`, blob); }],
      ["HTML", "Save the stepper as one offline page", () => view.ask("html")], ["CIF", "Save the recovered crystal as CIF", () => view.ask("cif")],
      ["CSV", "Save what is known of each step as CSV", () => csv()]],
  });
  if (!count()) { view.body.append(h("div", { class: "fw-blank" }, "There is nothing to step through: give a crystal, or a recovery made with trace=True.")); return () => view.end(); }
  let now = clamp(model.get("frame"), 0, count() - 1), playing = 0, last = 0, told = 0;

  const box = h("div", {}), words = h("p", { class: "fw-note", "data-step": "", style: "min-height:36px" }), legend = h("div", { class: "fw-legend" });
  const button = h("button", { "aria-label": "play", style: "min-width:64px", onclick: () => run(!playing) }, "▶ Play");
  const time = slider("step", { min: 0, max: count() - 1, value: now, time: true }, (v) => { run(false); go(v); });
  const contour = slider("contour", { min: 0.05, max: 0.95, step: 0.05, value: film().share }, (v) => { contour.output.textContent = `${v.toFixed(2)} of a peak`; view.ask("contour", { share: v }); });
  const others = check("other species", true, () => draw()), surfaces = check("what is left", true, () => draw());
  const speed = pick("steps/s", [["1", "1"], ["2", "2"], ["5", "5"], ["15", "15"]], "2", () => {});
  const plot = chart(view, { title: "What is not explained yet", label: "relative residual after each step", height: 190, onPick: (id) => { run(false); go(+id); },
    x: { title: "step" }, y: { title: "relative residual", log: true } });
  const strips = h("div", { style: "display:grid;grid-template-columns:max-content 1fr;gap:3px 8px;align-items:center;font-size:12px" });
  const verdict = h("p", { class: "fw-note", "data-certificate": "" });
  view.body.append(h("div", { class: "fw-col", style: "flex-basis:420px" }, box, words, legend, h("div", { class: "fw-row" }, button, h("div", { style: "flex:1 1 220px" }, time.row)),
    h("div", { class: "fw-row" }, others.row, surfaces.row, speed.row), contour.row),
  h("div", { class: "fw-col" }, plot.host, h("h4", { style: "margin:0;font-size:12px" }, "Stages"), strips, verdict));
  const space = scene(view, box, "atoms found so far, and the density no atom explains yet");
  time.row.style.gridTemplateColumns = "40px minmax(60px, 1fr) max-content";

  const palette = ["var(--fw-1)", "var(--fw-2)", "var(--fw-3)", "var(--fw-4)", "var(--fw-5)", "var(--fw-6)"];
  const stageNames = () => [...new Set(frames().map((f) => f.stage))], stageColour = (s) => palette[stageNames().indexOf(s) % palette.length];
  const UP = "#e0701a", DOWN = "#0a84c6";
  function draw() {
    const f = frames()[now], L = film().lattice, kinds = film().species, buffer = bytes(model.get("data"));
    const cart = (p) => [0, 1, 2].map((k) => p[0] * L[k] + p[1] * L[3 + k] + p[2] * L[6 + k]);
    const ball = (p, z, extra, text) => { const [x, y, w] = cart(p); return { x, y, z: w, symbol: kinds[z].symbol, colour: kinds[z].colour, radius: kinds[z].radius, text: text || `${kinds[z].symbol} (${p.map((v) => v.toFixed(3)).join(", ")})`, ...extra }; };
    const atoms = [];
    if (others.input.checked) for (const o of f.others) for (const p of o.nodes) atoms.push(ball(p, o.z, { opacity: 0.35, radius: 0.6 * kinds[o.z].radius }));
    f.nodes.forEach((p, i) => atoms.push(ball(p, f.z, i === f.picked ? { radius: kinds[f.z].radius * 1.6 } : {})));
    for (const p of f.left) atoms.push(ball(p, f.z, { opacity: 0.3, radius: kinds[f.z].radius * 0.7 }, "given up"));
    const meshes = !surfaces.input.checked ? [] : f.surfaces.map((s) => ({ vertices: array(buffer, s.vertices), normals: Float32Array.from(array(buffer, s.normals), (v) => v / 127), faces: array(buffer, s.faces), colour: s.sign > 0 ? UP : DOWN, opacity: 0.55 }));
    space.draw({ atoms, surfaces: meshes, lattice: L });
    const bad = f.residual > 1e-4;
    words.replaceChildren(h("b", {}, `${kinds[f.z].symbol} · ${f.stage}: `), `${f.words}. ${f.nodes.length} atom${f.nodes.length === 1 ? "" : "s"} so far, residual `, h("b", { class: bad ? "fw-no" : "fw-yes" }, show(f.residual)));
  }
  function sync(force = false) {
    const t = performance.now();
    if (!force && t - told < 100) return;
    told = t;
    if (model.get("frame") !== now) { model.set("frame", now); model.save_changes(); }
  }
  function go(k) {
    now = clamp(k, 0, count() - 1);
    time.input.value = now;
    time.output.textContent = `${now + 1} / ${count()}`;
    time.input.setAttribute("aria-valuetext", `step ${now + 1} of ${count()}: ${frames()[now].stage}`);
    el.dataset.frame = now; el.dataset.stage = frames()[now].stage;
    plot.draw({ ...curves, marks: [now + 1] });
    for (const cell of strips.querySelectorAll("[data-cell]")) cell.style.outline = now >= +cell.dataset.cell && now < +cell.dataset.end ? "2px solid var(--fw-accent)" : "none";
    draw();
    sync(!playing);
  }
  function run(on) {
    if (on === !!playing) return;
    if (on) {
      if (now >= count() - 1) now = -1;
      last = -Infinity;
      const tick = (t) => {
        if (!playing) return;
        if (t - last >= 1000 / +speed.select.value - 4) { last = t; go(now + 1); if (now >= count() - 1) { run(false); return; } }
        playing = requestAnimationFrame(tick);
      };
      playing = requestAnimationFrame(tick);
    } else { cancelAnimationFrame(playing); playing = 0; sync(true); }
    button.textContent = on ? "❚❚ Pause" : "▶ Play";
    button.setAttribute("aria-label", on ? "pause" : "play");
    el.dataset.playing = on;
  }
  let curves = {};
  function update() {
    const all = frames(), floor = 1e-8, value = (f) => Math.max(f.residual, floor), kinds = film().species;
    const parts = []; // runs of one species and one stage
    all.forEach((f, i) => { const end = parts.at(-1); if (end && end.z === f.z && end.stage === f.stage) end.end = i + 1; else parts.push({ z: f.z, stage: f.stage, from: i, end: i + 1 }); });
    const species = [...new Set(all.map((f) => f.z))];
    curves = {
      lines: species.map((z) => ({ x: all.map((_, i) => i + 1).filter((_, i) => all[i].z === z), y: all.filter((f) => f.z === z).map(value), colour: "var(--fw-soft)", width: 1 })),
      points: all.map((f, i) => ({ x: i + 1, y: value(f), colour: stageColour(f.stage), id: i, r: all.length > 60 ? 2.6 : 4, text: `step ${i + 1}: ${kinds[f.z].symbol}, ${f.stage}, residual ${show(f.residual)}` })),
      legend: stageNames().map((s) => h("span", { class: "fw-chip", title: film().stages[s] || s }, h("span", { class: "fw-dot", style: `background:${stageColour(s)}` }), s)),
    };
    strips.replaceChildren(...species.flatMap((z) => {
      const own = parts.filter((p) => p.z === z);
      return [view.chip(kinds[z].symbol, kinds[z].colour),
        h("div", { style: "display:flex;gap:2px" }, ...own.map((p) => h("button", { "data-cell": p.from, "data-end": p.end, title: `${p.stage}: ${film().stages[p.stage] || ""}`, "aria-label": `${kinds[z].symbol}: ${p.stage}, ${p.end - p.from} steps`, style: `flex:${p.end - p.from} 1 0;min-width:10px;height:18px;min-height:0;padding:0;border:0;border-radius:2px;background:${stageColour(p.stage)}`, onclick: () => { run(false); go(p.from); } })))];
    }));
    legend.replaceChildren(...species.map((z) => view.chip(kinds[z].symbol, kinds[z].colour)),
      h("span", { class: "fw-chip" }, h("span", { style: `width:10px;height:10px;background:${UP}` }), "not explained yet"), h("span", { class: "fw-chip" }, h("span", { style: `width:10px;height:10px;background:${DOWN}` }), "explained too much"), h("span", {}, "large: the atom of this step"));
    const c = film().certificate;
    verdict.replaceChildren("Certificate: ", h("b", { class: c.accepted ? "fw-yes" : "fw-no" }, c.words), ".");
    contour.output.textContent = `${film().share.toFixed(2)} of a peak`;
    go(now);
  }
  const csv = () => {
    const rows = [["step", "species", "stage", "atoms", "residual", "x", "y", "z"].join(",")];
    frames().forEach((f, i) => { const p = f.picked === null ? ["", "", ""] : f.nodes[f.picked] || ["", "", ""]; rows.push([i + 1, film().species[f.z].symbol, f.stage, f.nodes.length, f.residual, ...p].join(",")); });
    save(`${view.name()}.csv`, rows.join("\n") + "\n", "text/csv");
  };
  view.watch("frame", () => { if (!playing && model.get("frame") !== now) go(model.get("frame")); });
  view.watch("film", update); // another contour: place and camera stay
  view.onEnd(() => { cancelAnimationFrame(playing); playing = 0; });
  requestAnimationFrame(update);
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["subject"], () => build({ model, el }));
