// Density explorer: isosurfaces with atoms and cell beside the coefficients, both answering to the same settings.
function render({ model, el }) {
  const LABEL = "density explorer";
  const save3d = async () => { const blob = await space.png(); if (blob) save(`${view.name()}.png`, blob); };
  const view = frame(model, el, {
    label: LABEL, elements: true,
    actions: { reset: () => { space.reset(); set({ bpd: 9, sigmas: 2, wave: null, shell: null, plane: null, repeat: 1, operation: null }); }, step: (n) => nudge(n), first: () => level(0.5), last: () => level(6) },
    help: [["drag, wheel", "turn, zoom"], ["click a point", "show that plane wave alone"], ["drag in the chart", "re-sum a shell of waves"]],
    exports: [["PNG", "Save the 3D picture as PNG at twice its size", save3d], ["HTML", "Save the view as one offline page", () => view.ask("html")],
      ["CIF", "Save the crystal as CIF", () => view.ask("cif")], ["CSV", "Save the plotted waves as CSV", () => csv()]],
  });
  const shown = () => model.get("scene").shown || { bpd: 9, sigmas: 2, slot: 0, repeat: 1 };
  let want = {};
  const set = (changes) => { want = { ...want, ...changes }; view.ask("set", want); };
  const level = (value) => { sigma.input.value = value; sigma.output.textContent = `${value} σ`; set({ sigmas: value }); };
  const nudge = (n) => level(clamp(+(+sigma.input.value + 0.1 * n).toFixed(2), 0.5, 6));

  const box = h("div", {});
  const chips = h("div", { class: "fw-row", role: "group", "aria-label": "species: click to hide or show" });
  const sigma = slider("isolevel", { min: 0.5, max: 6, step: 0.1, value: 2 }, (v) => { sigma.output.textContent = `${v} σ`; set({ sigmas: v }); });
  const basis = slider("basis", { min: 3, max: 13, step: 2, value: 9 }, (v) => { basis.output.textContent = `${v}³ waves`; set({ bpd: v, wave: null }); });
  const lost = h("p", { class: "fw-note", "data-fact": "error" });
  const atoms = check("atoms", true, () => draw());
  const surfaces = check("density", true, () => draw());
  const cells = pick("cells", [["1", "1×1×1"], ["2", "2×2×2"], ["3", "3×3×3"]], "1", (v) => set({ repeat: +v }));
  const sliced = check("slice", false, () => slice());
  const indices = ["h", "k", "l"].map((name, i) => h("input", { type: "number", value: i === 2 ? 1 : 0, min: -6, max: 6, style: "width:44px", "aria-label": `slice index ${name}`, onchange: () => slice() }));
  const offset = slider("offset", { min: 0, max: 1, step: 0.01, value: 0.5 }, () => slice());
  const slice = () => {
    const plane = indices.map((input) => Math.round(+input.value));
    const low = plane.reduce((s, v) => s + Math.min(v, 0), 0), high = plane.reduce((s, v) => s + Math.max(v, 0), 0);
    offset.input.min = low; offset.input.max = high;
    offset.output.textContent = `${show(+offset.input.value)}`;
    offset.row.hidden = !sliced.input.checked;
    set({ plane: sliced.input.checked ? plane : null, offset: +offset.input.value });
  };
  offset.row.hidden = true;

  const left = h("div", { class: "fw-col", style: "flex-basis:420px" }, box, chips,
    h("div", { class: "fw-row" }, atoms.row, surfaces.row, cells.row, h("span", { class: "fw-field" }, sliced.row, "(", ...indices, ")")), sigma.row, offset.row);
  const species = pick("waves of", [], "", (v) => set({ slot: +v, wave: null }));
  const all = h("button", { onclick: () => set({ wave: null, shell: null }) }, "all waves");
  const plot = chart(view, {
    title: null, label: "modulus of the Fourier coefficients against the length of their wave vector, coloured by phase", height: 250,
    x: { title: "|G| (Å⁻¹)", min: 0 }, y: { title: "|α| (atoms)", min: 0 },
    onBrush: (range) => set({ shell: range, wave: null }),
    onPick: (id) => { const mode = +id; set({ wave: shown().wave === mode ? null : mode }); },
  });
  const wheel = h("span", { class: "fw-field", title: "phase of α" }, "phase −π",
    h("span", { style: `display:inline-block;width:110px;height:10px;border-radius:2px;background:linear-gradient(90deg,${MAPS.phase.join(",")},${MAPS.phase[0]})`, role: "img", "aria-label": "phase colours from minus pi to pi" }), "π");
  const showing = h("p", { class: "fw-note", "data-fact": "showing" });
  const symmetry = pick("symmetry", [["", "none picked"]], "", (v) => set({ operation: v === "" ? null : +v }));
  symmetry.select.style.maxWidth = "240px";
  const groupName = h("span", { class: "fw-note" }), relation = h("p", { class: "fw-note", "data-fact": "symmetry", style: "min-height:18px" });
  const right = h("div", { class: "fw-col" }, h("div", { class: "fw-row" }, species.row, all, wheel), plot.host, showing, h("div", { class: "fw-row" }, symmetry.row, groupName), relation, basis.row, lost);
  view.body.append(left, right);
  const space = scene(view, box, "crystal with isosurfaces of its species densities");
  const hidden = new Set();

  const csv = () => {
    const t = model.get("waves"), keys = Object.keys(t);
    save(`${view.name()}_waves.csv`, [keys.join(","), ...t.mode.map((_, i) => keys.map((k) => t[k][i]).join(","))].join("\n") + "\n", "text/csv");
  };
  const circle = (phase) => { const n = MAPS.phase.length; return MAPS.phase[(Math.round((phase / (2 * Math.PI) + 0.5) * n) % n + n) % n]; };
  const chart_waves = () => {
    const t = model.get("waves"), s = shown();
    if (!t.mode) return;
    const orbit = model.get("scene").orbit, lit = new Set(orbit?.modes || []);
    const points = t.mode.map((mode, i) => ({
      x: t.length[i], y: t.modulus[i], colour: t.modulus[i] > 1e-3 ? circle(t.phase[i]) : "var(--fw-line)", id: mode, on: mode === s.wave || lit.has(mode), r: mode === s.wave || lit.has(mode) ? 6 : 3.4,
      opacity: orbit && !lit.has(mode) ? 0.25 : s.shell && (t.length[i] < s.shell[0] || t.length[i] > s.shell[1]) ? 0.25 : 1,
      text: `(${t.h[i]} ${t.k[i]} ${t.l[i]})  |α| ${show(t.modulus[i])}, phase ${show(t.phase[i] / Math.PI, 2)} π, |G| ${show(t.length[i])} Å⁻¹`,
    }));
    plot.draw({ points, bands: s.shell ? [s.shell] : [] });
  };
  const draw = () => {
    const content = model.get("scene");
    if (!content.lattice) { box.replaceChildren(h("div", { class: "fw-blank" }, "Nothing to draw.")); return; }
    const buffer = bytes(model.get("data")), L = content.lattice, meshes = [];
    for (const s of surfaces.input.checked ? content.surfaces : []) {
      if (s.slot >= 0 && hidden.has(s.slot)) continue;
      const v = array(buffer, s.vertices), normals = array(buffer, s.normals), faces = array(buffer, s.faces);
      const colours = s.places ? Array.from(array(buffer, s.places), (p) => three().CC.color(MAPS.magnitude[p])) : null;
      const n = content.repeat;
      for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) for (let c = 0; c < n; c++) {
        const moved = a + b + c ? v.map((x, i) => x + a * L[i % 3] + b * L[3 + i % 3] + c * L[6 + i % 3]) : v;
        meshes.push({ vertices: moved, normals, faces, symbol: s.slot >= 0 ? content.legend[s.slot]?.symbol : null, colour: s.colour, colours, opacity: s.opacity });
      }
    }
    const dropped = new Set([...hidden].map((slot) => content.legend[slot]?.symbol));
    space.draw({ lattice: L, repeat: content.repeat, surfaces: meshes, atoms: atoms.input.checked ? content.atoms.filter((a) => !dropped.has(a.symbol)).map((a) => (!content.orbit ? a : content.orbit.atoms.includes(a.index) ? { ...a, radius: 1.7 * a.radius } : { ...a, opacity: 0.35 })) : [] });
  };
  let formula = null;
  const update = () => {
    const content = model.get("scene"), facts = model.get("facts"), s = shown();
    if (!content.lattice) { draw(); return; }
    want = {};
    const key = content.legend.map((l) => l.symbol + l.count).join();
    if (key !== formula) {
      if (formula !== null) { hidden.clear(); setTimeout(() => space.reset()); }
      formula = key;
      chips.replaceChildren(...content.legend.map((l, slot) => {
        const chip = h("button", { class: "fw-chip", "aria-pressed": "true", "aria-label": `${l.symbol}, ${l.count} atoms: hide or show`, title: "hide or show this species" }, view.dot(l.symbol, l.colour), `${l.symbol} × ${l.count}`);
        chip.onclick = () => { hidden.has(slot) ? hidden.delete(slot) : hidden.add(slot); chip.setAttribute("aria-pressed", String(!hidden.has(slot))); draw(); };
        return chip;
      }));
      species.select.replaceChildren(...content.legend.map((l, slot) => h("option", { value: slot }, l.symbol)));
    }
    species.select.value = s.slot;
    if (document.activeElement !== sigma.input) sigma.input.value = s.sigmas;
    sigma.output.textContent = `${show(s.sigmas)} σ`;
    basis.input.value = s.bpd;
    basis.output.textContent = `${s.bpd}³ waves`;
    cells.select.value = s.repeat;
    sliced.input.checked = !!s.plane;
    offset.row.hidden = !s.plane;
    costs();
    showing.textContent = `Showing ${facts.showing}. Click a point for its plane wave; drag across for a shell.`;
    relation.textContent = content.orbit ? content.orbit.words : "Pick an operation: the atoms and waves it carries into each other are lit.";
    symmetry.select.value = s.operation ?? "";
    all.disabled = s.wave === null && s.shell === null;
    el.dataset.bpd = s.bpd; el.dataset.sigmas = s.sigmas;
    chart_waves(); draw();
  };
  const costs = () => {
    const facts = model.get("facts");
    lost.replaceChildren("Left out by truncation (against 13³): ", h("b", {}, facts.error), ". Recovery: ", h("b", { class: facts.recovered === null ? "" : facts.recovered ? "fw-yes" : "fw-no" }, facts.verdict), ".");
  };
  const listed = () => {
    const group = model.get("group");
    groupName.textContent = group.symbol || "";
    symmetry.select.replaceChildren(h("option", { value: "" }, "none picked"), ...(group.operations || []).map((name, i) => h("option", { value: i }, name)));
    symmetry.select.value = shown().operation ?? "";
  };
  listed();
  view.watch("group", listed);
  view.watch("scene", update);
  view.watch("facts", costs); // what truncation costs may come after the picture
  view.watch("waves", chart_waves);
  requestAnimationFrame(update);
  return () => view.end();
}
