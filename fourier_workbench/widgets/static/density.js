// Density explorer: isosurfaces with atoms and cell beside the coefficients, both following the same settings.
const render = defineView({
  label: "density explorer", empty: "There is nothing to draw: give a crystal that can be encoded.",
  ready: (model) => model.get("scene").lattice, rebuildOn: ["scene"], once: true,
  build(view) {
    const { model, el, body } = view, shown = () => model.get("scene").shown, hidden = new Set();
    let wanted = {}, formula = null; // wanted: changes that the kernel has not answered yet
    const set = (changes) => { wanted = { ...wanted, ...changes }; view.request("set", wanted); };

    const box = h("div"), chips = h("div", { class: "fw-row", role: "group", "aria-label": "species: click to hide or show" });
    const level = (value) => { sigma.input.value = value; sigma.output.textContent = `${formatNumber(value)} σ`; set({ sigmas: value }); };
    const sigma = slider("isolevel", { min: 0.5, max: 6, step: 0.1, value: 2 }, level);
    const basis = slider("basis", { min: 3, max: 13, step: 2, value: 9 }, (v) => { basis.output.textContent = `${v}³ waves`; set({ bpd: v, wave: null }); });
    const atoms = checkbox("atoms", true, () => draw()), surfaces = checkbox("density", true, () => draw());
    const cells = menu("cells", ["1", "2", "3"].map((n) => [n, `${n}×${n}×${n}`]), "1", (v) => set({ repeat: +v }));
    const planeInputs = () => indices.map((input) => Math.round(+input.value));
    const markSlice = (on) => {
      offset.input.min = planeInputs().reduce((sum, v) => sum + Math.min(v, 0), 0);
      offset.input.max = planeInputs().reduce((sum, v) => sum + Math.max(v, 0), 0);
      offset.output.textContent = formatNumber(+offset.input.value);
      offset.row.hidden = !on;
    };
    const slice = () => { const on = sliced.input.checked; markSlice(on); set({ plane: on ? planeInputs() : null, offset: +offset.input.value }); };
    const sliced = checkbox("slice", false, slice), offset = slider("offset", { min: 0, max: 1, step: 0.01, value: 0.5 }, slice);
    const indices = ["h", "k", "l"].map((name, i) => h("input", { type: "number", value: +(i === 2), min: -6, max: 6, style: "width:44px", "aria-label": `slice index ${name}`, onchange: slice }));

    const species = menu("waves of", [], "", (v) => set({ slot: +v, wave: null }));
    const all = h("button", { onclick: () => set({ wave: null, shell: null }) }, "all waves");
    const plot = chart(view, {
      label: "modulus of the Fourier coefficients against the length of their wave vector, coloured by phase", height: 250,
      x: { title: "|G| (Å⁻¹)", min: 0 }, y: { title: "|α| (atoms)", min: 0 },
      onBrush: (range) => set({ shell: range, wave: null }),
      onPick: (id) => set({ wave: shown().wave === +id ? null : +id }),
    });
    const wheel = h("span", { class: "fw-field", title: "phase of α" }, "phase −π",
      h("span", { class: "fw-scale", style: `background:linear-gradient(90deg,${MAPS.phase.join(",")},${MAPS.phase[0]})`, role: "img", "aria-label": "phase colours from minus pi to pi" }), "π");
    const showing = note({ "data-fact": "showing" }), cost = note({ "data-fact": "error" });
    const symmetry = menu("symmetry", [], "", (v) => set({ operation: v === "" ? null : +v })), groupName = h("span", { class: "fw-note" });
    const relation = note({ "data-fact": "symmetry" });
    body.append(
      column(420, box, chips, row(atoms.row, surfaces.row, cells.row, h("span", { class: "fw-field" }, sliced.row, "(", ...indices, ")")), sigma.row, offset.row),
      column(340, row(species.row, all, wheel), plot.host, showing, row(symmetry.row, groupName), relation, basis.row, cost));
    const space = scene(view, box, "crystal with isosurfaces of its species densities");
    const panel = model.get("diffraction").title ? patternPanel(view, { onPick: (line) => view.request("reflection", { line: +line }) }) : null;
    if (panel) body.append(panel.host);
    const drawPattern = () => {
      const d = model.get("diffraction"), buffer = toBuffer(model.get("curves")), { wave } = shown(), t = model.get("waves"), k = t.mode.indexOf(wave);
      const same = (hkl) => k >= 0 && [1, -1].some((sign) => hkl[0] === sign * t.h[k] && hkl[1] === sign * t.k[k] && hkl[2] === sign * t.l[k]);
      const lit = d.marks.hkl.findIndex((members) => members.some(same));
      panel?.draw({ ...d, x: typedArray(buffer, d.x), measured: typedArray(buffer, d.measured), calculated: typedArray(buffer, d.calculated), lit: lit < 0 ? null : lit });
      el.dataset.lit = lit < 0 ? "" : d.marks.text[lit];
    };

    const phaseColour = (phase) => { const n = MAPS.phase.length; return MAPS.phase[(Math.round((phase / (2 * Math.PI) + 0.5) * n) % n + n) % n]; };
    const drawWaves = () => {
      const t = model.get("waves"), s = shown(), orbit = model.get("scene").orbit, lit = new Set(orbit?.modes || []);
      const points = t.mode.map((mode, i) => {
        const on = mode === s.wave || lit.has(mode), outside = s.shell && (t.length[i] < s.shell[0] || t.length[i] > s.shell[1]);
        const text = `(${t.h[i]} ${t.k[i]} ${t.l[i]})  |α| ${formatNumber(t.modulus[i])}, phase ${formatNumber(t.phase[i] / Math.PI, 2)} π, |G| ${formatNumber(t.length[i])} Å⁻¹`;
        const colour = t.modulus[i] > 1e-3 ? phaseColour(t.phase[i]) : "var(--fw-line)"; // an extinct wave has no phase
        return { x: t.length[i], y: t.modulus[i], id: mode, colour, on, r: on ? 6 : 3.4, opacity: (orbit && !lit.has(mode)) || outside ? 0.25 : 1, text };
      });
      plot.draw({ points, bands: s.shell ? [s.shell] : [] });
    };
    const draw = () => {
      const { lattice, repeat, legend, orbit, ...content } = model.get("scene"), buffer = toBuffer(model.get("data")), meshes = [];
      const [x, y, z] = orientation(lattice)[2]; // a slice gets full light when it is first seen, so that its colours can be read
      const faceReader = (normals) => normals.map((n) => { const side = Math.sign(n.x * x + n.y * y + n.z * z); return { x: side * x, y: side * y, z: side * z }; });
      const steps = [...Array(repeat).keys()], shifts = steps.flatMap((a) => steps.flatMap((b) => steps.map((c) => [a, b, c])));
      for (const s of surfaces.input.checked ? content.surfaces : []) {
        if (hidden.has(s.slot)) continue;
        const colours = s.magnitude ? Array.from(typedArray(buffer, s.magnitude), (m) => three().CC.color(MAPS.magnitude[m])) : null;
        const about = { ...s, symbol: legend[s.slot]?.symbol, colours };
        for (const shift of shifts) {
          const surface = unpackSurface(buffer, about, lattice, Object.values(cartesian(lattice, shift)));
          if (colours) surface.normals = faceReader(surface.normals);
          meshes.push(surface);
        }
      }
      const visible = content.atoms.filter((a) => atoms.input.checked && ![...hidden].some((slot) => legend[slot].symbol === a.symbol));
      const lit = (a) => (!orbit ? a : orbit.atoms.includes(a.index) ? { ...a, radius: 1.7 * a.radius } : { ...a, opacity: 0.35 });
      space.draw({ lattice, repeat, surfaces: meshes, atoms: visible.map(lit) });
    };
    const listSpecies = (legend) => {
      hidden.clear();
      chips.replaceChildren(...legend.map((l, slot) => {
        const chip = h("button", { class: "fw-chip", "aria-pressed": "true", "aria-label": `${l.symbol}, ${l.count} atoms: hide or show`, title: "hide or show this species" }, view.dot(l.symbol, l.colour), `${l.symbol} × ${l.count}`);
        chip.onclick = () => { if (!hidden.delete(slot)) hidden.add(slot); chip.setAttribute("aria-pressed", String(!hidden.has(slot))); draw(); };
        return chip;
      }));
      species.fill(legend.map((l, slot) => [slot, l.symbol]));
    };
    const drawFacts = () => {
      const { error, recovered, verdict, showing: selection } = model.get("facts"), mark = { true: "fw-yes", false: "fw-no" }[recovered] || "";
      cost.replaceChildren("Truncation error (against 13³): ", h("b", {}, error), ". Recovery: ", h("b", { class: mark }, verdict), ".");
      showing.textContent = `Showing ${selection}. Click a point for its plane wave; drag across for a shell.`;
    };
    const listOperations = () => {
      const group = model.get("group");
      groupName.textContent = [group.symbol, group.source].filter(Boolean).join(", ");
      symmetry.fill([["", "none selected"], ...group.operations.map((name, i) => [i, name])]);
      symmetry.select.value = shown().operation ?? "";
    };
    const update = () => {
      const content = model.get("scene"), s = shown(), key = content.legend.map((l) => l.symbol + l.count).join();
      wanted = {};
      if (key !== formula) {
        listSpecies(content.legend);
        if (formula !== null) setTimeout(() => space.reset());
        formula = key;
      }
      species.select.value = s.slot;
      if (document.activeElement !== sigma.input) sigma.input.value = s.sigmas;
      sigma.output.textContent = `${formatNumber(s.sigmas)} σ`;
      basis.input.value = s.bpd;
      basis.output.textContent = `${s.bpd}³ waves`;
      cells.select.value = s.repeat;
      sliced.input.checked = !!s.plane;
      s.plane?.forEach((v, i) => { indices[i].value = v; });
      markSlice(!!s.plane);
      if (document.activeElement !== offset.input) offset.input.value = s.offset;
      relation.textContent = content.orbit?.relation || "Pick an operation to highlight the atoms and waves it maps into each other.";
      symmetry.select.value = s.operation ?? "";
      all.disabled = s.wave === null && s.shell === null;
      Object.assign(el.dataset, { bpd: s.bpd, sigmas: s.sigmas });
      drawFacts(); drawWaves(); draw();
      if (panel) drawPattern();
    };
    listOperations();
    view.watch("group", listOperations);
    view.watch("scene", update);
    view.watch("facts", drawFacts); // the cost of truncation may come after the picture
    view.watch("waves", drawWaves);
    if (panel) view.watch("diffraction", drawPattern);
    requestAnimationFrame(update);
    return {
      actions: {
        reset: () => { space.reset(); set({ bpd: 9, sigmas: 2, wave: null, shell: null, plane: null, repeat: 1, operation: null }); },
        step: (n) => level(clamp(+(+sigma.input.value + 0.1 * n).toFixed(2), 0.5, 6)), first: () => level(0.5), last: () => level(6),
      },
      help: [["drag, wheel", "turn, zoom"], ["click a point", "show that plane wave alone"], ["drag in the chart", "re-sum a shell of waves"], ...(panel ? [["click a mark of the pattern", "show that reflection's plane wave"]] : [])],
      files: {
        PNG: ["the 3D picture", () => space.png()],
        CIF: ["the crystal", () => view.request("cif")],
        CSV: ["the plotted waves", () => { const t = model.get("waves"), keys = Object.keys(t); return [keys, ...t.mode.map((_, i) => keys.map((k) => t[k][i]))]; }],
      },
    };
  },
});
