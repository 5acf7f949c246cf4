// Studio: a request clicked together, and samples that appear as they are drawn, each beside what was asked of it.
const render = defineView({
  label: "studio", empty: "There is no generator to ask: give one, or the name of a shipped one.",
  ready: (model) => model.get("about").elements, rebuildOn: ["about"],
  build(view) {
    const { model, el, body, root } = view, copy = (value) => JSON.parse(JSON.stringify(value));
    const { elements, systems, groups, guidance, ranges: known } = model.get("about");
    const lower = (text) => text.replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]), screws = (text) => text.replace(/_(\d)/g, (_, d) => lower(d)); // as subscripts
    let form = copy(model.get("form"));
    const running = () => !!model.get("rounds").running;
    const change = (part) => { form = { ...form, ...part }; model.set("form", form); model.save_changes(); paint(); };

    // ---- The periodic table: each click is the next of `STATES`.
    const STATES = ["", "required", "allowed", "forbidden"], MARKS = { required: "✓", allowed: "○", forbidden: "✕" };
    const table = h("div", { class: "fw-elements", role: "group", "aria-label": "periodic table: arrows move, Enter changes an element, Delete clears it" });
    const cells = new Map(), at = new Map(), state = (symbol) => form.elements[symbol] || "";
    let current = null;
    const put = (symbol, value) => {
      const { [symbol]: _, ...others } = form.elements;
      change({ elements: value ? { ...others, [symbol]: value } : others });
    };
    const cycle = (symbol, by) => put(symbol, STATES[(STATES.indexOf(state(symbol)) + by + 4) % 4]);
    const rove = (symbol, focus) => {
      if (current) cells.get(current).button.tabIndex = -1;
      current = symbol;
      cells.get(symbol).button.tabIndex = 0;
      if (focus) cells.get(symbol).button.focus({ preventScroll: true });
    };
    for (const { symbol, name, row, column: place, known } of elements) {
      const mark = h("i", { "aria-hidden": "true" });
      const button = h("button", { class: "fw-el", style: `grid-row:${row > 7 ? row + 1 : row};grid-column:${place};--el:var(--el-${symbol})`, tabindex: -1, disabled: !known, "data-element": symbol,
        onclick: (event) => { rove(symbol); cycle(symbol, event.shiftKey ? -1 : 1); }, onfocus: () => { if (current !== symbol) rove(symbol); } }, symbol, mark);
      cells.set(symbol, { button, mark, name, known });
      if (known) at.set(`${row},${place}`, symbol);
      table.append(button);
    }
    for (const [row, text, hint] of [[6, "*", "lanthanides: below"], [7, "**", "actinides: below"]]) table.append(h("span", { class: "fw-fblock", style: `grid-row:${row};grid-column:3`, title: hint, "aria-hidden": "true" }, text));
    const key = (value) => h("span", {}, h("b", { "data-state": value }, MARKS[value]), value);
    table.append(h("div", { class: "fw-elkey" }, h("div", {}, ...STATES.slice(1).map(key)), h("span", {}, "click again for the next, Shift + click for the one before")));
    rove(at.values().next().value);
    table.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key], symbol = event.target.dataset.element;
      if (!symbol || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Delete" || event.key === "Backspace") put(symbol, "");
      else if (step) {
        let [row, place] = [...at].find(([, other]) => other === symbol)[0].split(",").map(Number);
        do { row += step[0]; place += step[1]; } while (row > 0 && row < 12 && place > 0 && place < 19 && !at.has(`${row},${place}`));
        if (at.has(`${row},${place}`)) rove(at.get(`${row},${place}`), true);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const colours = () => { for (const [symbol, colour] of Object.entries(PALETTES[model.get("scheme")])) root.style.setProperty(`--el-${symbol}`, colour); };
    view.watch("scheme", colours);
    colours();

    // ---- Fields
    const fields = []; // [show the form's value]
    const commit = (event) => { if (event.key === "Enter") { event.target.dispatchEvent(new Event("change")); view.send("draw", { form }); } };
    const unfinished = (input, value) => { // text that is being typed stays as it is until it is committed
      const show = () => { input.value = value(); };
      input.addEventListener("change", show);
      input.addEventListener("blur", show);
      fields.push(() => { if (document.activeElement !== input) show(); });
      return input;
    };
    const numeric = (name, key, { min = -Infinity, max = Infinity, step = 1, needed = false, hint = "any", width = 62, get = () => form[key], set = (value) => change({ [key]: value }) }) => {
      const ends = Object.fromEntries(Object.entries({ min, max }).filter(([, end]) => Number.isFinite(end)));
      const input = h("input", { type: "number", ...ends, step, placeholder: hint, "aria-label": name, style: `width:${width}px`, onkeydown: commit });
      input.onchange = () => {
        const value = input.value === "" ? null : clamp(+input.value, min, max);
        set(value === null && needed ? get() : step === 1 && value !== null ? Math.round(value) : value);
      };
      return unfinished(input, () => get() ?? "");
    };
    const bound = (name, end, words) => numeric(`${end ? "highest" : "lowest"} ${words}`, name, { step: "any", hint: formatNumber(known[name][end], 2), get: () => (form.ranges[name] ?? [])[end], set: (value) => {
      const ends = [...(form.ranges[name] ?? [null, null])];
      ends[end] = value;
      change({ ranges: { ...form.ranges, [name]: ends } });
    } });
    const field = (label, ...inputs) => [h("span", {}, label), h("div", { class: "fw-row" }, ...inputs)];
    const formula = h("input", { type: "text", placeholder: "such as SrTiO3", "aria-label": "formula", class: "fw-formula", onkeydown: commit, spellcheck: "false" });
    formula.onchange = () => change({ formula: formula.value.trim() });
    unfinished(formula, () => form.formula);
    const whole = checkbox("all atoms of the cell", form.cell, (on) => change({ cell: on }));
    const others = checkbox("others may occur too", form.others, (on) => change({ others: on }));
    const FIRST = [1, 3, 16, 75, 143, 168, 195, 231];
    const within = (number, system) => !system || (number >= FIRST[systems.indexOf(system)] && number < FIRST[systems.indexOf(system) + 1]);
    const system = menu("", [["", "any"], ...systems.map((name) => [name, name])], "", (name) => change({ crystal_system: name, space_group: within(form.space_group, name) ? form.space_group : 0 }), "crystal system");
    const group = menu("", [], "0", (number) => change({ space_group: +number }), "space group");
    const fillGroups = () => { group.fill([["0", "any"], ...groups.map((name, i) => [i + 1, `${i + 1} · ${screws(name)}`]).filter(([number]) => within(number, form.crystal_system))]); group.select.value = form.space_group; };
    fields.push(() => { [whole.input.checked, others.input.checked, system.select.value] = [form.cell, form.others, form.crystal_system]; fillGroups(); });
    const weight = slider("guidance", { min: 1, max: 4, step: 0.1, value: guidance ?? 1 }, (w) => change({ guidance: w }));
    weight.row.hidden = guidance === null;
    weight.row.title = "how strongly samples follow what the model is told; 1 takes half the time";
    fields.push(() => { weight.input.value = form.guidance ?? guidance ?? 1; weight.output.textContent = `w = ${(+weight.input.value).toFixed(1)}`; });

    // ---- A crystal to start from
    const started = h("div", { class: "fw-row" }), file = h("input", { type: "file", accept: ".cif", hidden: true });
    const read = async (blob) => view.send("start", { name: blob.name, text: await blob.text() });
    file.onchange = () => { if (file.files.length) read(file.files[0]); file.value = ""; };
    const phi = slider("noise φ", { min: 0.05, max: 1, step: 0.05, value: form.phi }, (value) => change({ phi: value }));
    const box = h("div", { class: "fw-drop", role: "group", "aria-label": "crystal to start from: drop a CIF file or a sample here" }, started, phi.row);
    box.ondragover = (event) => { event.preventDefault(); box.classList.add("fw-over-it"); };
    box.ondragleave = () => box.classList.remove("fw-over-it");
    box.ondrop = (event) => {
      event.preventDefault();
      box.classList.remove("fw-over-it");
      const dragged = event.dataTransfer.getData("text/fw-row");
      if (dragged !== "") view.send("start", { row: +dragged });
      else if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
    };
    const open = h("button", { onclick: () => file.click() }, "Open a CIF file");
    const drop = h("button", { onclick: () => view.send("start", { row: null }), "aria-label": "start from noise again" }, "Clear");
    fields.push(() => {
      const start = model.get("start"), kept = new Set(form.keep);
      const chip = (symbol) => h("button", { class: "fw-chip", "aria-pressed": String(kept.has(symbol)), title: `keep the ${symbol} atoms where they are`, onclick: () => change({ keep: kept.has(symbol) ? form.keep.filter((s) => s !== symbol) : [...form.keep, symbol] }) }, view.dot(symbol, ""), symbol);
      started.replaceChildren(...(start.formula ? [h("b", {}, start.formula), h("span", { class: "fw-note" }, `${plural(start.atoms, "atom")} · keep in place:`), ...start.elements.map(chip), drop]
        : [h("span", { class: "fw-note" }, "from noise; or drop a CIF file or a sample here"), open]), file);
      for (const dot of started.querySelectorAll("[data-symbol]")) dot.style.background = `var(--el-${dot.dataset.symbol})`;
      phi.row.hidden = !start.formula;
      phi.input.value = form.phi;
      phi.output.textContent = form.phi < 1 ? `${form.phi.toFixed(2)}: ${form.phi <= 0.25 ? "close to it" : form.phi <= 0.6 ? "its kind" : "far away"}` : "1: all anew";
    });

    // ---- Draw
    const drawButton = h("button", { class: "fw-go", onclick: () => toggle(), title: "draw samples (D)", "data-command": "draw" }), bar = h("i");
    const more = h("button", { onclick: () => { change({ n: rows().length + 8 }); view.send("draw", { form }); } }, "8 more");
    const progress = h("div", { class: "fw-bar", role: "progressbar", "aria-label": "samples drawn", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const toggle = () => (running() ? view.send("stop") : drawButton.disabled ? null : view.send("draw", { form }));
    const asked = note({ "data-asked": "" }), problem = h("p", { class: "fw-problem", role: "alert", "data-problem": "" });
    const clear = h("button", { onclick: () => view.send("clear"), title: "ask for nothing in particular" }, "Clear all");
    const samples = numeric("number of samples", "n", { min: 1, max: 1000, needed: true, width: 52 }), steps = numeric("noise levels", "steps", { min: 1, max: 1000, needed: true, width: 52 });
    const seed = numeric("seed", "seed", { min: 0, needed: true, width: 52 });

    const ask = column(400,
      h("div", { class: "fw-row" }, h("h4", {}, "Elements"), others.row, h("span", { style: "flex:1" }), clear), table,
      h("div", { class: "fw-fields" },
        ...field("formula", formula, whole.row),
        ...field("atoms", numeric("fewest atoms", "fewest", { min: 1, max: 999 }), "to", numeric("most atoms", "most", { min: 1, max: 999 }), "in the cell"),
        ...field("symmetry", system.row, group.row),
        ...field("volume", numeric("smallest volume per atom", "smallest", { min: 0.5, max: 300, step: "any" }), "to", numeric("largest volume per atom", "largest", { min: 0.5, max: 300, step: "any" }), "Å³ per atom"),
        ...Object.keys(known).flatMap((name) => name === "e_above_hull" ? field("stability", "at most", bound(name, 1, "energy above the hull"), "eV/atom above the hull") : field(name.replaceAll("_", " "), bound(name, 0, name), "to", bound(name, 1, name))),
        ...field("start", box)),
      weight.row, asked, problem,
      h("div", { class: "fw-row" }, drawButton, more, h("label", { class: "fw-field" }, samples, "samples"), h("label", { class: "fw-field" }, steps, "noise levels"), h("label", { class: "fw-field" }, "seed", seed)),
      progress);

    // ---- Samples
    const rounds = menu("", [], "", (i) => view.send("show", { index: +i }), "what was asked");
    const filter = menu("show", [], "", () => list()), recovered = checkbox("crystals only", false, () => list());
    const count = h("span", { class: "fw-note", "aria-live": "polite" }), rates = h("div", { class: "fw-legend", "data-rates": "" });
    const cards = h("div", { class: "fw-cards", role: "listbox", tabindex: 0, "aria-label": "samples" });
    const sceneBox = h("div", { style: "height:230px" }), facts = note({ "data-picked": "" }), legend = h("div", { class: "fw-legend" });
    const act = (text, hint, what) => h("button", { title: hint, "data-command": what, onclick: () => view.request(what, { row: picked() }) }, text);
    const acts = [act("Explore", "open this crystal in the density explorer (E)", "explore"), act("Vary", "draw neighbours of this crystal (V)", "vary"), act("Start from it", "take it as the crystal to start from", "start")];
    const one = h("div", { class: "fw-row fw-one" }, column(250, sceneBox), column(200, facts, legend, row(...acts)));
    const choice = h("div", { class: "fw-row" }, rounds.row, filter.row, recovered.row, count), found = column(420, choice, rates, cards, one);
    const explorer = h("div", { class: "fw-wide" }), close = h("button", { onclick: () => view.send("explore", { row: null }) }, "Close the explorer");
    ask.style.flexGrow = 2;
    found.style.flexGrow = 3;
    body.append(ask, found, explorer);
    const first = scene(view, sceneBox, "the picked sample");

    let buffer = new ArrayBuffer(0), visible = [];
    const content = () => model.get("content"), rows = () => content().rows || [], picked = () => model.get("picked");
    const titles = () => Object.fromEntries((content().columns || []).map((c) => [c.key, c.title.replace("met: ", "")]));
    const parts = () => Object.keys(titles()).filter((key) => key.startsWith("met_"));
    const groupOf = (r) => screws(r.group || r.space_group || "");
    const near = (r) => String(r["nearest known"] || "").replace(/^[^ :]+/, lower);
    const verdict = (r, key, names) => r[key] === null ? h("span", { class: "fw-note", "data-met": `${key}:unknown`, title: "not computed" }, `? ${names[key]}`)
      : h("span", { class: r[key] ? "fw-yes" : "fw-no", "data-met": `${key}:${!!r[key]}` }, `${r[key] ? "✓" : "✗"} ${names[key]}`);
    const describe = (r) => [r.id, groupOf(r), r.n_sites && plural(r.n_sites, "atom"), r.volume_per_atom && `${formatNumber(r.volume_per_atom)} Å³/atom`, r.min_distance && `min d ${formatNumber(r.min_distance)} Å`,
      `residual ${formatNumber(r.residual)}`, near(r) && `nearest known: ${near(r)}`, r.reason && `rejected: ${r.reason}`].filter(Boolean).join(" · ");
    function card(i, names) {
      const r = rows()[i], picture = h("div", { class: "fw-picture" });
      picture.innerHTML = content().pictures[i] || "";
      if (r.reason) picture.append(h("span", { class: "fw-note" }, r.reason));
      const known = near(r).replace(/ \([^)]*\)/, "");
      const node = h("div", { class: "fw-sample", role: "option", id: `${id}-${i}`, "data-row": i, draggable: !r.reason, title: describe(r), "aria-selected": String(i === picked()), "aria-label": `${r.formula || "no crystal"}, ${r.met ? "met" : r.met === null ? "not known whether met" : "not met"}`, onclick: () => choose(i) },
        picture, h("div", { class: "fw-row" }, h("b", {}, r.formula || "no crystal"), h("span", { class: "fw-note" }, groupOf(r).replace(/ \(\d+\)/, ""))),
        h("div", { class: "fw-marks" }, ...parts().map((key) => verdict(r, key, names))),
        h("span", { class: "fw-note", title: "what the atoms leave unexplained of the decoded coefficients: the lower, the surer" }, `residual ${formatNumber(r.residual, 2)}`),
        known ? h("span", { class: "fw-note", title: r["nearest known"] }, `near ${known}`) : null);
      node.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/fw-row", String(i)));
      return node;
    }
    const id = `fw-${Math.random().toString(36).slice(2, 8)}`;
    function list() {
      const names = titles(), want = filter.select.value;
      visible = [...rows().keys()].filter((i) => (!want || (want === "not" ? rows()[i].met === false : rows()[i][want])) && (!recovered.input.checked || !rows()[i].reason));
      cards.replaceChildren(...visible.map((i) => card(i, names)));
      if (!rows().length) cards.append(h("p", { class: "fw-blank" }, running() ? "Drawing the first samples …" : "Click a request together, or ask for nothing in particular, and press Draw."));
      else if (!visible.length) cards.append(h("p", { class: "fw-blank" }, "No sample is as the filter says: show all (R)."));
      count.textContent = rows().length ? `${visible.length} of ${plural(rows().length, "sample")}` : "";
      el.dataset.visible = visible.length;
      draw();
    }
    function choose(i) {
      model.set("picked", i);
      model.save_changes();
      for (const node of cards.children) {
        const on = +node.dataset.row === i;
        node.setAttribute("aria-selected", String(on));
        if (on) cards.scrollTop = clamp(cards.scrollTop, node.offsetTop + node.offsetHeight - cards.clientHeight, Math.max(node.offsetTop - 4, 0));
      }
      draw();
    }
    function draw() {
      const r = rows()[picked()], cell = content().cells?.[picked()];
      one.hidden = !r;
      cards.setAttribute("aria-activedescendant", r ? `${id}-${picked()}` : "");
      if (!r) return;
      first.draw(cell ? { lattice: cell.lattice, atoms: unpackAtoms(buffer, cell, content().species).map((a) => ({ text: a.symbol, ...a })) } : {}, false);
      facts.replaceChildren(h("b", {}, r.formula || "no crystal"), ` ${describe(r)}`);
      legend.replaceChildren(...[...new Set(cell ? typedArray(buffer, cell.numbers) : [])].map((z) => view.chip(content().species[z])));
      for (const button of acts) button.disabled = !cell;
      el.dataset.picked = picked();
    }
    function fill() { // what Python sends after each portion
      buffer = toBuffer(model.get("data"));
      const names = titles(), want = filter.select.value, options = [["", "all"], ...(parts().length ? [["met", "all parts met"], ...parts().map((key) => [key, `met: ${names[key]}`]), ["not", "not met"]] : [])];
      filter.fill(options);
      filter.select.value = options.some(([key]) => key === want) ? want : "";
      const percent = (x) => Math.round(100 * x), lost = Object.entries(content().rejected || {}).map(([reason, n]) => `${n} ${reason}`);
      rates.replaceChildren(...(content().rates || []).filter((r) => r.part !== "all parts" || parts().length > 1).map((r) => h("span", { title: "95 % interval (Wilson)" }, h("b", {}, names[`met_${r.part}`] || r.part), ` ${r.met} of ${r.of}, ${percent(r.rate)} % (${percent(r.low)} to ${percent(r.high)} %)`)), ...(lost.length ? [h("span", {}, `rejected: ${lost.join(", ")}`)] : []));
      list();
    }

    // ---- What follows the kernel
    function follow() {
      const { all = [], shown = 0, done = 0, of: total = 0, seconds = 0 } = model.get("rounds"), { asks, problem: wrong, same } = model.get("verdict"), on = running();
      drawButton.textContent = on ? "■ Stop" : "Draw";
      drawButton.disabled = !on && !!wrong;
      more.hidden = on || !same || !rows().length;
      bar.style.width = total ? `${100 * done / total}%` : "0";
      progress.setAttribute("aria-valuenow", total ? Math.round(100 * done / total) : 0);
      root.classList.toggle("fw-busy", on);
      view.status(on ? `${done} of ${total} drawn${done ? `, ${formatDuration(seconds / done * (total - done))} left` : ""}` : done ? `${plural(done, "sample")} drawn in ${formatDuration(seconds)}` : "");
      Object.assign(el.dataset, { running: on, drawn: rows().length });
      rounds.fill(all.map((r, i) => [i, `${i + 1}: ${r.words} · ${r.drawn}`]));
      rounds.select.value = shown;
      rounds.row.hidden = all.length < 2;
      choice.hidden = !rows().length && all.length < 2;
      asked.textContent = asks ? `asks for ${asks}` : "";
      problem.textContent = wrong || "";
      problem.hidden = !wrong;
    }
    function paint() {
      for (const [symbol, { button, mark, name, known }] of cells) {
        const value = state(symbol);
        button.dataset.state = value;
        mark.textContent = MARKS[value] || "";
        button.setAttribute("aria-label", `${name}, ${known ? value || "not marked" : "not known to this model"}`);
        button.title = `${name}${known ? "" : ": not known to this model"}`;
      }
      others.row.hidden = !Object.values(form.elements).some((value) => value === "required" || value === "allowed");
      for (const show of fields) show();
    }
    let child = null, opening = 0;
    async function openExplorer() {
      const wanted = model.get("opened"), mine = ++opening;
      child?.remove();
      child = null;
      explorer.replaceChildren();
      if (!wanted || !model.widget_manager) return;
      const made = await model.widget_manager.create_view(await model.widget_manager.get_model(wanted));
      if (mine !== opening) { made.remove(); return; }
      child = made;
      explorer.append(row(close), child.el);
      explorer.scrollIntoView({ block: "nearest" });
    }
    view.watch("form", () => { if (JSON.stringify(model.get("form")) !== JSON.stringify(form)) { form = copy(model.get("form")); paint(); } });
    view.watch("start", paint);
    view.watch("content", fill);
    view.watch(["rounds", "verdict"], follow);
    view.watch("picked", () => { if (+el.dataset.picked !== picked()) choose(picked()); });
    view.watch("opened", openExplorer);
    view.onEnd(() => { opening += 1; child?.remove(); });
    root.addEventListener("keydown", (event) => {
      const run = { d: toggle, v: () => acts[1].click(), e: () => acts[0].click() }[event.key.toLowerCase()], { tagName, type } = event.target;
      if (!run || event.ctrlKey || event.metaKey || event.altKey || tagName === "SELECT" || (tagName === "INPUT" && !["range", "checkbox"].includes(type))) return;
      run();
      event.preventDefault();
      event.stopPropagation();
    });
    requestAnimationFrame(() => { paint(); fill(); follow(); openExplorer(); });

    const move = (n) => { if (visible.length) choose(visible[clamp(Math.max(visible.indexOf(picked()), 0) + n, 0, visible.length - 1)]); };
    const save = (kind) => view.request("file", { kind, rows: kind === "cif" ? [picked()] : visible });
    return {
      actions: { step: move, first: () => move(-Infinity), last: () => move(Infinity), reset: () => { filter.select.value = ""; recovered.input.checked = false; list(); first.reset(); } },
      help: [["D", "draw, or stop"], ["V, E", "vary the picked sample, explore it"], ["arrows, Enter, Delete", "in the periodic table: move, change, clear"], ["drag", "a sample or a CIF file onto the start"]],
      fileName: () => null,
      files: {
        PNG: ["the picked sample", () => first.png()],
        CIF: ["the picked sample", () => save("cif")],
        extxyz: ["the samples shown", () => save("extxyz")],
        "ASE db": ["the samples shown", () => save("db")],
        CSV: ["the table of the samples shown", () => [["id", ...(content().columns || []).map((c) => c.key)], ...visible.map((i) => ["id", ...content().columns.map((c) => c.key)].map((name) => rows()[i][name]))]],
      },
    };
  },
});
