// Trajectory player: all frames are here already, the page owns the clock, the kernel hears where it is ten times a second.
function build({ model, el }) {
  const LABEL = "trajectory player";
  const film = () => model.get("film");
  const count = () => (film().phi || []).length;
  const view = frame(model, el, {
    label: LABEL, elements: true,
    actions: { play: () => run(!playing), step: (n) => { run(false); go(now + n); }, first: () => { run(false); go(0); }, last: () => { run(false); go(count() - 1); }, reset: () => { run(false); spaces.forEach((s) => s.reset()); go(0); } },
    help: [["drag, wheel", "turn, zoom (all crystals together)"]],
    exports: [["PNG", "Save the first crystal as PNG at twice its size", async () => { const blob = await spaces[0]?.png(); if (blob) save(`${view.name()}_${now}.png`, blob); }],
      ["HTML", "Save the player as one offline page", () => view.ask("html")], ["CIF", "Save the crystal on screen as CIF", () => { view.ask("cif", { frame: now, ladder: ladder() }); }],
      ["CSV", "Save what is known of each frame as CSV", () => csv()], ["Steps", "Open the recovery of this moment in the linked stepper", () => { view.ask("steps", { frame: now, ladder: ladder() }); }]],
  });
  let now = clamp(model.get("frame"), 0, Math.max(count() - 1, 0)), playing = 0, last = 0, told = 0;
  if (!count()) { view.body.append(h("div", { class: "fw-blank" }, "There is nothing to play.")); return () => view.end(); }
  const buffer = bytes(model.get("data"));
  const ladder = () => model.get("ladder");

  const spaces = [], words = [];
  const stage = h("div", { class: "fw-body", style: "padding:0;flex:1 1 100%" });
  for (const track of film().tracks) {
    const box = h("div", {}), text = h("p", { class: "fw-note", "data-sample": track.sample });
    stage.append(h("div", { class: "fw-col", style: "flex-basis:300px" }, box, text));
    spaces.push(scene(view, box, `sample ${track.sample} at the current noise level`));
    words.push(text);
  }
  for (const a of spaces) for (const b of spaces) if (a !== b && spaces.indexOf(a) < spaces.indexOf(b)) { a.link(b); b.link(a); }

  const button = h("button", { "aria-label": "play", style: "min-width:64px", onclick: () => run(!playing) }, "▶ Play");
  const time = slider("noise level", { min: 0, max: count() - 1, value: now, time: true }, (v) => { run(false); go(v); });
  time.row.style.flex = "1 1 260px";
  const which = h("span", { class: "fw-row", role: "group", "aria-label": "ladder" }, "ladder", ...["clean", "noisy"].map((name) => h("button", { "data-ladder": name, title: name === "clean" ? "the clean ladder the model predicts at this level" : "the noisy ladder the sampler carries", onclick: () => { model.set("ladder", name); model.save_changes(); update(); } }, name)));
  const atoms = check("atoms", true, () => draw()), surfaces = check("density", true, () => draw());
  const speed = pick("frames/s", [["2", "2"], ["5", "5"], ["10", "10"], ["30", "30"]], "5", () => {});
  const legend = h("div", { class: "fw-legend" });
  const strips = h("div", { class: "fw-col", style: "flex-basis:300px;gap:4px" });
  const plot = chart(view, { title: "How crystal-like each moment is", label: "relative residual of recovery against the noise level", height: 170,
    x: { title: "noise level φ (sampling runs to the right)", reverse: true }, y: { title: "relative residual", min: 0 } });
  view.body.append(stage, h("div", { class: "fw-row", style: "flex:1 1 100%" }, button, time.row),
    h("div", { class: "fw-row", style: "flex:1 1 100%" }, which, atoms.row, surfaces.row, speed.row, legend),
    h("div", { class: "fw-col", style: "flex-basis:300px" }, plot.host), strips);

  const kinds = film().species;
  function draw() {
    const present = new Set();
    film().tracks.forEach((track, t) => {
      const f = track[ladder()][now], L = f.lattice, at = [0, 1, 2].map((k) => -0.5 * (L[k] + L[3 + k] + L[6 + k]));
      const cart = (a, b, c) => [0, 1, 2].map((k) => a * L[k] + b * L[3 + k] + c * L[6 + k] + at[k]);
      const numbers = array(buffer, f.numbers), places = array(buffer, f.places), balls = [];
      if (atoms.input.checked) numbers.forEach((z, i) => { const [x, y, w] = cart(places[3 * i], places[3 * i + 1], places[3 * i + 2]); const kind = kinds[z]; balls.push({ x, y, z: w, symbol: kind.symbol, colour: kind.colour, radius: kind.radius, text: kind.symbol }); });
      const meshes = !surfaces.input.checked ? [] : f.meshes.map((m) => {
        const q = array(buffer, m.vertices), vertices = new Float32Array(q.length);
        for (let i = 0; i < q.length; i += 3) { const p = cart(q[i] / 65535, q[i + 1] / 65535, q[i + 2] / 65535); vertices[i] = p[0]; vertices[i + 1] = p[1]; vertices[i + 2] = p[2]; }
        return { vertices, normals: Float32Array.from(array(buffer, m.normals), (v) => v / 127), faces: array(buffer, m.faces), symbol: kinds[m.z].symbol, colour: kinds[m.z].colour, opacity: 0.7 };
      });
      spaces[t].draw({ atoms: balls, surfaces: meshes, lattice: L, origin: at, aim: track[ladder()].at(-1).lattice });
      const verdict = f.reason ? h("b", { class: "fw-no" }, `rejected: ${f.reason}`) : h("b", { class: f.valid ? "fw-yes" : "fw-no" }, f.valid ? (f.clean ? "clean" : "valid") : "not valid");
      for (const z of [...numbers, ...f.meshes.map((m) => m.z)]) present.add(+z);
      words[t].replaceChildren(`sample ${track.sample} · ${f.formula || "no crystal"} · residual ${show(f.residual)} · `, verdict);
    });
    for (const chip of legend.children) chip.style.opacity = present.has(+chip.dataset.z) ? 1 : 0.35; // what comes and goes dims, so that nothing jumps
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
    time.output.textContent = `φ = ${film().phi[now].toFixed(2)}  (${now + 1}/${count()})`;
    time.input.setAttribute("aria-valuetext", `phi ${film().phi[now].toFixed(2)}`);
    el.dataset.frame = now;
    plot.draw({ ...curves, marks: [film().phi[now]] });
    for (const cell of strips.querySelectorAll("[data-cell]")) cell.style.outline = +cell.dataset.cell === now ? "2px solid var(--fw-accent)" : "none";
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
  const colours = ["var(--fw-1)", "var(--fw-2)", "var(--fw-3)"];
  function update() {
    for (const b of which.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b.dataset.ladder === ladder()));
    const used = new Set(film().tracks.flatMap((t) => t[ladder()].flatMap((f) => [...array(buffer, f.numbers), ...f.meshes.map((m) => m.z)])));
    legend.replaceChildren(...Object.entries(kinds).filter(([z]) => used.has(+z)).map(([z, k]) => { const chip = view.chip(k.symbol, k.colour); chip.dataset.z = z; return chip; }));
    curves = { lines: film().tracks.map((t, i) => ({ x: film().phi, y: t[ladder()].map((f) => f.residual), colour: colours[i], name: `sample ${t.sample}` })) };
    strips.replaceChildren(h("h4", { style: "margin:0;font-size:12px" }, "Verdict of each frame"), ...film().tracks.map((t) => h("div", { class: "fw-row", style: `gap:${count() > 40 ? 0 : 2}px;flex-wrap:nowrap` }, h("span", { style: "flex:0 0 66px;font-size:12px" }, `sample ${t.sample}`), ...t[ladder()].map((f, k) => {
      const word = f.reason ? `rejected: ${f.reason}` : f.clean ? "clean" : f.valid ? "valid" : "not valid";
      const colour = f.clean ? "var(--fw-3)" : f.valid ? "var(--fw-1)" : f.reason ? "var(--fw-bad)" : "var(--fw-5)";
      return h("button", { "data-cell": k, title: `φ ${film().phi[k].toFixed(2)}: ${word}`, "aria-label": `frame ${k + 1}: ${word}`, tabindex: -1, style: `flex:1 1 0;min-width:0;height:18px;min-height:0;padding:0;border:0;border-radius:1px;background:${colour}`, onclick: () => { run(false); go(k); } });
    }))), h("div", { class: "fw-legend" }, ...[["clean", "--fw-3"], ["valid", "--fw-1"], ["not valid", "--fw-5"], ["rejected", "--fw-bad"]].map(([name, c]) => h("span", { class: "fw-chip" }, h("span", { style: `width:10px;height:10px;background:var(${c})` }), name))));
    go(now);
  }
  const csv = () => {
    const rows = [["sample", "ladder", "phi", "formula", "residual", "valid", "clean", "reason"].join(",")];
    for (const t of film().tracks) for (const name of ["clean", "noisy"]) t[name].forEach((f, k) => rows.push([t.sample, name, film().phi[k], f.formula || "", f.residual, f.valid, f.clean, f.reason || ""].join(",")));
    save(`${view.name()}.csv`, rows.join("\n") + "\n", "text/csv");
  };
  view.watch("frame", () => { if (!playing && model.get("frame") !== now) go(model.get("frame")); });
  view.watch("ladder", update);
  view.onEnd(() => { cancelAnimationFrame(playing); playing = 0; });
  requestAnimationFrame(update);
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["film"], () => build({ model, el }));
