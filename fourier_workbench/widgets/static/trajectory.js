// Trajectory player: all frames are in the page, which owns the clock.
const render = defineView({
  label: "trajectory player", empty: "There is nothing to play: sample with trace=True.",
  ready: (model) => model.get("content").phi?.length, rebuildOn: ["content"],
  build(view) {
    const { model, body } = view, { phi, tracks, species } = model.get("content"), buffer = toBuffer(model.get("data")), ladder = () => model.get("ladder");
    const verdict = (f) => (f.reason ? [`rejected: ${f.reason}`, "--fw-bad"] : f.clean ? ["clean", "--fw-3"] : f.valid ? ["valid", "--fw-1"] : ["not valid", "--fw-5"]);
    const numbers = (f) => [...typedArray(buffer, f.numbers), ...f.surfaces.map((s) => s.z)];
    const boxes = tracks.map(() => h("div")), words = tracks.map((track) => note({ "data-sample": track.sample }));
    const atoms = checkbox("atoms", true, () => player.refresh()), surfaces = checkbox("density", true, () => player.refresh());
    const hints = { predicted: "the noise-free ladder that the model predicts at this level", noisy: "the noisy ladder that the sampler carries along" };
    const choose = (name) => { model.set("ladder", name); model.save_changes(); update(); };
    const which = h("span", { class: "fw-row", role: "group", "aria-label": "ladder" }, "ladder",
      ...Object.entries(hints).map(([name, title]) => h("button", { "data-ladder": name, title, onclick: () => choose(name) }, name)));
    const legend = h("div", { class: "fw-legend" }), strips = column(300);
    const { diffraction: measured } = model.get("content"), panels = measured ? tracks.map((track) => patternPanel(view, { title: `Diffraction pattern, sample ${track.sample}` })) : [];
    const player = playback(view, {
      label: "noise level", count: phi.length, start: model.get("frame"), speeds: [2, 5, 10, 30], speed: 5, sync: true,
      text: (k) => `φ = ${phi[k].toFixed(2)}  (${k + 1}/${phi.length})`,
      show: (k) => {
        plot.draw({ ...curves, marks: [phi[k]] });
        panels.forEach((panel, t) => {
          const f = measured.tracks[t][ladder()][k], curve = (spec) => typedArray(buffer, spec);
          panel.draw({ ...measured, x: curve(measured.x), measured: curve(measured.measured), calculated: curve(f.calculated), r: f.r, about: `${measured.tracks[t].lines} lines inside the truncation` });
          boxes[t].dataset.r = f.r;
        });
        for (const cell of strips.querySelectorAll("[data-cell]")) cell.classList.toggle("fw-on", +cell.dataset.cell === k);
        draw(k);
      },
    });
    const plot = chart(view, {
      title: "How crystal-like each frame is", label: "relative residual of recovery against the noise level", height: 170,
      x: { title: "noise level φ (sampling runs to the right)", reverse: true }, y: { title: "relative residual", min: 0 },
    });
    body.append(wide(...tracks.map((_, t) => column(300, boxes[t], words[t]))), player.row,
      wide(which, atoms.row, surfaces.row, player.rate, legend), ...panels.map((panel) => column(300, panel.host)), column(300, plot.host), strips);
    const spaces = tracks.map((track, t) => scene(view, boxes[t], `sample ${track.sample} at the current noise level`));
    linkCameras(spaces);
    let curves = {};

    const centred = (L) => ({ lattice: L, origin: Object.values(cartesian(L, [-0.5, -0.5, -0.5])) });
    function draw(k) {
      const present = new Set();
      tracks.forEach((track, t) => {
        const f = track[ladder()][k], place = centred(f.lattice), [word, colour] = verdict(f);
        const balls = atoms.input.checked ? unpackAtoms(buffer, f, species, place.origin) : [];
        const meshes = surfaces.input.checked ? f.surfaces.map((s) => ({ ...unpackSurface(buffer, s, f.lattice, place.origin), ...species[s.z], opacity: 0.7 })) : [];
        // framed by the last lattice, so that the camera need not move
        spaces[t].draw({ atoms: balls, surfaces: meshes, ...place, target: centred(track[ladder()].at(-1).lattice) });
        words[t].replaceChildren(`sample ${track.sample} · ${f.formula || "no crystal"} · residual ${formatNumber(f.residual)} · `, h("b", { style: `color:var(${colour})` }, word));
        for (const z of numbers(f)) present.add(z);
      });
      for (const chip of legend.children) chip.style.opacity = present.has(+chip.dataset.z) ? 1 : 0.35; // dimmed, so that nothing jumps
    }
    function update() {
      for (const b of which.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b.dataset.ladder === ladder()));
      const used = new Set(tracks.flatMap((t) => t[ladder()].flatMap(numbers)));
      legend.replaceChildren(...[...used].sort((a, b) => a - b).map((z) => { const chip = view.chip(species[z]); chip.dataset.z = z; return chip; }));
      curves = { lines: tracks.map((t, i) => ({ x: phi, y: t[ladder()].map((f) => f.residual), colour: SERIES[i], name: `sample ${t.sample}` })) };
      const cell = (f, k) => {
        const [word, colour] = verdict(f);
        return h("button", { "data-cell": k, class: "fw-cell", title: `φ ${phi[k].toFixed(2)}: ${word}`, "aria-label": `frame ${k + 1}: ${word}`, tabindex: -1, style: `background:var(${colour})`, onclick: () => player.jump(k) });
      };
      const key = [["clean", "--fw-3"], ["valid", "--fw-1"], ["not valid", "--fw-5"], ["rejected", "--fw-bad"]].map(([word, colour]) => swatch(`var(${colour})`, word));
      strips.replaceChildren(h("h4", {}, "Verdict of each frame"),
        h("div", { class: "fw-strips" }, ...tracks.flatMap((t) => [h("span", {}, `sample ${t.sample}`), h("div", { class: "fw-cells" }, ...t[ladder()].map(cell))])),
        h("div", { class: "fw-legend" }, ...key));
      player.refresh();
    }
    view.watch("ladder", update);
    requestAnimationFrame(update);
    const here = () => ({ frame: player.now, ladder: ladder() });
    return {
      actions: { ...player.actions, reset: () => { spaces.forEach((s) => s.reset()); player.jump(0); } },
      help: [["drag, wheel", "turn, zoom (all crystals together)"]],
      fileName: () => `${model.get("title")}_${player.now}`,
      files: {
        PNG: ["the first crystal", () => spaces[0].png()],
        CIF: ["the crystal on screen", () => view.request("cif", here())],
        CSV: ["all frames", () => [["sample", "ladder", "phi", "formula", "residual", "valid", "clean", "reason"],
          ...tracks.flatMap((t) => Object.keys(hints).flatMap((name) => t[name].map((f, k) => [t.sample, name, phi[k], f.formula, f.residual, f.valid, f.clean, f.reason])))]],
      },
      opens: [["Steps", "Open the recovery of this frame in the linked stepper", () => view.request("steps", here())]],
    };
  },
});
