// Recovery stepper: atoms as they are found, density that no atom explains yet, and the residual.
const render = defineView({
  label: "recovery stepper", empty: "There is nothing to step through: give a crystal, or a recovery made with trace=True.",
  ready: (model) => model.get("content").frames, rebuildOn: ["revision"],
  build(view) {
    const { model, el, body } = view, content = () => model.get("content"), frames = content().frames, { species, lattice, stages } = content();
    const names = Object.keys(stages), stageColour = (stage) => (stage === "cell" ? "var(--fw-soft)" : SERIES[names.indexOf(stage) % SERIES.length]);
    const box = h("div"), words = note({ "data-step": "", style: "min-height:36px" });
    const contour = (v) => { isolevel.output.textContent = `${v.toFixed(2)} of a peak`; };
    const isolevel = slider("isolevel", { min: 0.05, max: 0.95, step: 0.05, value: content().level }, (v) => { contour(v); view.request("level", { level: v }); });
    const others = checkbox("other species", true, () => draw()), surfaces = checkbox("residual density", true, () => draw());
    const player = playback(view, {
      label: "step", count: frames.length, start: model.get("frame"), speeds: [1, 2, 5, 15], speed: 2, unit: "steps/s", sync: true,
      text: (k) => `${k + 1} / ${frames.length}`,
      show: (k) => {
        el.dataset.stage = frames[k].stage;
        plot.draw({ ...curves, marks: [k + 1] });
        for (const cell of strips.querySelectorAll("[data-cell]")) cell.classList.toggle("fw-on", k >= +cell.dataset.cell && k < +cell.dataset.end);
        draw();
      },
    });
    const plot = chart(view, {
      title: "Unexplained share of the coefficients", label: "relative residual after each step", onPick: (id) => player.jump(+id),
      x: { title: "step" }, y: { title: "relative residual", log: true },
    });
    const present = [...new Set(frames.map((f) => f.z))], value = (f) => Math.max(f.residual, 1e-8); // an exact zero has no logarithm
    const curves = {
      lines: present.map((z) => ({ x: frames.flatMap((f, i) => (f.z === z ? [i + 1] : [])), y: frames.filter((f) => f.z === z).map(value), colour: "var(--fw-soft)", width: 1 })),
      points: frames.map((f, i) => ({ x: i + 1, y: value(f), colour: stageColour(f.stage), id: i, r: frames.length > 60 ? 2.6 : 4, text: `step ${i + 1}: ${species[f.z].symbol}, ${stages[f.stage].label}, residual ${formatNumber(f.residual)}` })),
    };
    const parts = []; // consecutive steps of one species and one stage
    frames.forEach((f, i) => {
      const end = parts.at(-1);
      if (end && end.z === f.z && end.stage === f.stage) end.end = i + 1; else parts.push({ z: f.z, stage: f.stage, from: i, end: i + 1 });
    });
    const part = (p) => h("button", {
      "data-cell": p.from, "data-end": p.end, title: `${stages[p.stage].label}: ${stages[p.stage].explanation}`, class: "fw-cell",
      "aria-label": `${species[p.z].symbol}: ${stages[p.stage].label}, ${plural(p.end - p.from, "step")}`,
      style: `flex-grow:${p.end - p.from};background:${stageColour(p.stage)}`, onclick: () => player.jump(p.from),
    });
    const strips = h("div", { class: "fw-strips" }, ...present.flatMap((z) => [view.chip(species[z]), h("div", { class: "fw-cells" }, ...parts.filter((p) => p.z === z).map(part))]));
    const explained = h("dl", { class: "fw-stages" }, ...names.flatMap((s) => [h("dt", {}, swatch(stageColour(s), stages[s].label)), h("dd", {}, stages[s].explanation)]));
    const { accepted, words: verdict } = content().certificate;
    const legend = h("div", { class: "fw-legend" }, ...present.filter(Boolean).map((z) => view.chip(species[z])), swatch(SURPLUS, "not explained yet"), swatch(DEFICIT, "explained twice"), h("span", {}, "large: the atom of this step"));
    body.append(column(420, box, words, legend, player.row, row(others.row, surfaces.row, player.rate), isolevel.row),
      column(340, plot.host, h("h4", {}, "Stages"), strips, explained, note({ "data-certificate": "" }, "Certificate: ", h("b", { class: accepted ? "fw-yes" : "fw-no" }, verdict), ".")));
    const space = scene(view, box, "atoms found so far, and the density no atom explains yet");

    function draw() {
      const f = frames[player.now], now = content().frames[player.now], buffer = toBuffer(model.get("data")), cell = f.lattice || lattice, atoms = [];
      const add = (positions, z, scale, about = {}) => positions.forEach((p, i) => {
        const picked = about.picked === i || about.moved?.includes(i), text = `${species[z].symbol} (${p.map((v) => v.toFixed(3)).join(", ")})`;
        atoms.push({ ...species[z], ...cartesian(cell, p), text, ...about, radius: species[z].radius * (picked ? 1.6 : scale) });
      });
      for (const o of f.others) if (f.lattice) add(o.nodes, o.z, 1, { moved: o.moved }); else if (others.input.checked) add(o.nodes, o.z, 0.6, { opacity: 0.35 });
      add(f.nodes, f.z, 1, { picked: f.picked });
      add(f.removed, f.z, 0.7, { opacity: 0.3, text: "given up" });
      const meshes = (surfaces.input.checked ? now.surfaces : []).map((s) => ({ ...unpackSurface(buffer, s, lattice), colour: s.sign > 0 ? SURPLUS : DEFICIT, opacity: 0.55 }));
      space.draw({ atoms, surfaces: meshes, lattice: cell });
      words.replaceChildren(h("b", {}, `${species[f.z].symbol} · ${stages[f.stage].label}: `), `${f.description}. ${f.lattice ? "Residual of all species" : `${plural(f.nodes.length, "atom")} so far, residual`} `,
        h("b", { class: f.residual > 1e-4 ? "fw-no" : "fw-yes" }, formatNumber(f.residual)));
    }
    view.watch("content", () => { contour(content().level); draw(); }); // another isolevel: step and camera stay
    contour(content().level);
    requestAnimationFrame(player.refresh);
    return {
      actions: { ...player.actions, reset: () => { space.reset(); player.jump(0); } },
      help: [["drag, wheel", "turn, zoom"], ["click a point of the chart", "go to that step"]],
      fileName: () => `${model.get("title")}_${player.now + 1}`,
      files: {
        PNG: ["the 3D picture", () => space.png()],
        CIF: ["the recovered crystal", () => view.request("cif")],
        CSV: ["all steps", () => [["step", "species", "stage", "atoms", "residual", "x", "y", "z"],
          ...frames.map((f, i) => [i + 1, species[f.z].symbol, f.stage, f.nodes.length, f.residual, ...(f.nodes[f.picked] || ["", "", ""])])]],
      },
    };
  },
});
