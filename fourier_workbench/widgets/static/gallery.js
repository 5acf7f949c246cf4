// Sample gallery: a table to sort and filter, the picked crystal beside it, another pinned for comparison.
const render = defineView({
  label: "sample gallery", empty: "There is nothing to show: make some samples first.",
  ready: (model) => model.get("content").rows?.length, rebuildOn: ["content"],
  build(view) {
    const LIMIT = 500, { model, el, body } = view, { rows, columns, cells, species } = model.get("content");
    const buffer = toBuffer(model.get("data")), picked = () => model.get("picked"), chosen = new Set();
    let order = { key: null, down: false }, visible = [], pinned = null, second = null;
    const holds = (type) => (c) => rows.some((r) => typeof r[c.key] === type), text = new Set(columns.filter(holds("string")).map((c) => c.key));
    const numeric = columns.filter(holds("number")).map((c) => [c.key, c.title]), title = Object.fromEntries(columns.map((c) => [c.key, c.title]));

    const find = h("input", { type: "text", placeholder: "filter: formula, group, reason", "aria-label": "filter rows", class: "fw-time", oninput: () => list() });
    const clean = checkbox("only clean", false, () => list()), valid = checkbox("only valid", false, () => list());
    const groupKey = title.group ? "group" : "space_group", names = rows.map((r) => r[groupKey]).filter(Boolean);
    const number = (name) => +name.match(/\d+(?=\)$)/), groups = [...new Set(names)].sort((p, q) => number(q) - number(p));
    const choices = groups.map((name) => [name, `${name} · ${names.filter((other) => other === name).length}`]);
    const group = menu("group", [["", `any of ${groups.length}`], ...choices], "", () => list()), whole = ["n_sites", "operations", "moved"];
    const above = menu("above hull", [["", "any energy"], ...[0, 0.05, 0.1, 0.2].map((level) => [String(level), `at most ${level} eV/atom`])], "", () => list());
    [clean.row.hidden, group.row.hidden, above.row.hidden] = [!title.clean, groups.length < 2, !title.e_above_hull];
    const count = h("span", { class: "fw-note", "aria-live": "polite" }), head = h("thead"), bodyRows = h("tbody");
    const grid = h("div", { class: "fw-table" }, h("table", { "aria-label": "crystals" }, head, bodyRows));
    const boxes = [h("div"), h("div")], facts = note({ "data-picked": "" }), pinnedFacts = note(), legend = h("div", { class: "fw-legend" });
    const pin = h("button", { onclick: () => setPin(), title: "keep this crystal beside the next ones (P)" }, "Pin");
    const pinnedColumn = Object.assign(column(240, boxes[1], pinnedFacts), { hidden: true });
    const pickX = menu("x", numeric, "volume_per_atom", () => map()), pickY = menu("y", numeric, "min_distance", () => map());
    const plot = chart(view, { label: "property map, one point for each crystal", height: 200, x: { title: "" }, y: { title: "" }, onPick: (id) => choose(+id) });
    const mapBox = h("details", { ontoggle: () => map() }, h("summary", {}, "Property map"), row(pickX.row, pickY.row), plot.host);
    const table = column(440, row(find, group.row, above.row, clean.row, valid.row, count), grid), pictures = column(300, wide(column(240, boxes[0], facts), pinnedColumn), row(pin, legend));
    [table.style.flexGrow, pictures.style.flexGrow] = [3, 2];
    const measured = model.get("diffraction"), curves = toBuffer(model.get("curves")), panel = measured.title ? patternPanel(view) : null;
    if (panel) table.append(panel.host);
    body.append(table, pictures, h("div", { class: "fw-wide" }, mapBox));
    const first = scene(view, boxes[0], "the picked crystal");

    const content = (cell) => ({ lattice: cell.lattice, atoms: unpackAtoms(buffer, cell, species).map((a) => ({ text: a.symbol, ...a })) });
    const describe = (r) => [`${r.id} · ${r.formula || "no crystal"}`, r[groupKey], r.n_sites && plural(r.n_sites, "atom"), r.volume_per_atom && `${formatNumber(r.volume_per_atom)} Å³/atom`,
      r.min_distance && `min d ${formatNumber(r.min_distance)} Å`, r.reason && `rejected: ${r.reason}`].filter(Boolean).join(" · ");
    function draw() {
      const cell = cells[picked()];
      first.draw(cell ? content(cell) : {}, false);
      facts.textContent = describe(rows[picked()]) + (cell ? "" : ". No crystal was recovered; pick another row.");
      legend.replaceChildren(...[...new Set(cell ? typedArray(buffer, cell.numbers) : [])].map((z) => view.chip(species[z])));
      if (panel) {
        const r = measured.rows[picked()], curve = (spec) => spec && typedArray(curves, spec);
        panel.draw({ ...measured, x: curve(measured.x), measured: curve(measured.measured), calculated: curve(r.calculated), r: r.r, about: r.reason || measured.about });
        el.dataset.r = r.r ?? "";
      }
      pin.disabled = !cell && pinned === null;
      pin.textContent = pinned === picked() ? "Unpin" : "Pin";
    }
    function setPin() {
      pinned = pinned === picked() || !cells[picked()] ? null : picked();
      pinnedColumn.hidden = pinned === null;
      if (pinned !== null) {
        second ||= scene(view, boxes[1], "the pinned crystal");
        second.draw(content(cells[pinned]), false);
        pinnedFacts.textContent = "pinned: " + describe(rows[pinned]);
      }
      draw();
    }
    function choose(i) {
      el.dataset.picked = i;
      model.set("picked", i);
      model.save_changes();
      for (const line of bodyRows.children) {
        const on = +line.dataset.row === i, top = line.offsetTop - head.offsetHeight, low = line.offsetTop + line.offsetHeight - grid.clientHeight;
        line.setAttribute("aria-selected", String(on));
        if (on) grid.scrollTop = clamp(grid.scrollTop, low, Math.max(low, top));
      }
      draw(); map();
    }
    const move = (n) => { if (visible.length) choose(visible[clamp(Math.max(visible.indexOf(picked()), 0) + n, 0, visible.length - 1)]); };
    const shownText = (value, key) => {
      if (value === null || value === undefined) return "–";
      if (typeof value === "boolean") return value ? "✓" : "✗";
      if (typeof value === "string" || whole.includes(key)) return value;
      const size = Math.abs(value);
      return size >= 1000 || size < 0.001 ? formatNumber(value) : value.toFixed(size < 0.1 ? 4 : size < 10 ? 2 : 1);
    };
    const compare = (p, q) => (typeof p === "string" ? p.localeCompare(q) : p - q), missing = (v) => v === null || v === undefined;
    function headings() {
      const all = h("input", { type: "checkbox", "aria-label": "choose all shown rows" });
      all.checked = visible.length > 0 && visible.every((i) => chosen.has(i));
      all.onchange = () => { for (const i of visible) { if (all.checked) chosen.add(i); else chosen.delete(i); } list(); };
      head.replaceChildren(h("tr", {}, h("th", { style: "padding:0 8px" }, all), ...columns.map((c) => {
        const on = order.key === c.key, sort = () => { order = { key: c.key, down: on && !order.down }; list(); };
        return h("th", { scope: "col", class: text.has(c.key) ? "fw-text" : "", "aria-sort": !on ? "none" : order.down ? "descending" : "ascending" },
          h("button", { onclick: sort, title: c.hint || null }, c.title + (!on ? "" : order.down ? " ▾" : " ▴")));
      })));
    }
    function line(i) {
      const r = rows[i], box = h("input", { type: "checkbox", "aria-label": `choose ${r.id}`, onclick: (event) => event.stopPropagation() });
      box.checked = chosen.has(i);
      box.onchange = () => { if (box.checked) chosen.add(i); else chosen.delete(i); headings(); };
      const look = (c) => (text.has(c.key) ? "fw-text" : { true: "fw-yes", false: "fw-no" }[r[c.key]] || "");
      return h("tr", { "data-row": i, "aria-selected": String(i === picked()), onclick: () => choose(i) }, h("td", {}, box), ...columns.map((c) => h("td", { class: look(c) }, shownText(r[c.key], c.key))));
    }
    function list() {
      const asked = plainDigits(find.value.toLowerCase()).split(/\s+/).filter(Boolean);
      visible = [...rows.keys()].filter((i) => {
        const r = rows[i], all = plainDigits([r.id, r.formula, r[groupKey], r.reason].join(" ").toLowerCase());
        return asked.every((word) => all.includes(word)) && (!group.select.value || r[groupKey] === group.select.value) && (above.select.value === "" || (r.e_above_hull !== null && r.e_above_hull <= +above.select.value + 1e-4)) && (!clean.input.checked || r.clean) && (!valid.input.checked || r.valid);
      });
      const { key, down } = order;
      if (key) visible.sort((a, b) => missing(rows[a][key]) - missing(rows[b][key]) || (down ? -1 : 1) * compare(rows[a][key], rows[b][key]) || 0);
      headings();
      bodyRows.replaceChildren(...visible.slice(0, LIMIT).map(line));
      const n = visible.length;
      count.textContent = n > LIMIT ? `first ${LIMIT} of ${n} rows: filter to see others` : n ? `${n} of ${plural(rows.length, "row")}` : "no row matches: clear the filter (R)";
      el.dataset.visible = n;
      map();
    }
    function map() {
      if (!mapBox.open) return;
      const x = pickX.select.value, y = pickY.select.value, verdict = title.clean ? "clean" : "valid";
      [plot.axes.x.title, plot.axes.y.title] = [title[x], title[y]];
      const point = (i) => ({ x: rows[i][x], y: rows[i][y], id: i, colour: rows[i][verdict] === false ? "var(--fw-2)" : "var(--fw-1)", on: i === picked(), r: i === picked() ? 6 : 4, text: describe(rows[i]) });
      plot.draw({ points: visible.map(point), legend: [swatch("var(--fw-1)", verdict), swatch("var(--fw-2)", `not ${verdict}`)] });
    }
    const file = (kind) => view.request("file", { kind, rows: chosen.size ? [...chosen] : kind === "cif" ? [picked()] : visible });
    const reset = () => { find.value = group.select.value = above.select.value = ""; clean.input.checked = valid.input.checked = false; order = { key: null, down: false }; chosen.clear(); list(); first.reset(); second?.reset(); };
    view.root.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "p" && event.target.type !== "text" && !event.ctrlKey && !event.metaKey) setPin(); });
    view.watch("picked", () => { if (+el.dataset.picked !== picked()) choose(picked()); });
    requestAnimationFrame(() => { list(); choose(picked()); });
    return {
      actions: { step: move, first: () => move(-Infinity), last: () => move(Infinity), reset },
      help: [["click a heading", "sort by it; again: the other way"], ["P", "pin the crystal for comparison"], ["drag, wheel", "turn, zoom"]],
      fileName: () => null,
      files: {
        PNG: ["the picked crystal", () => first.png()],
        CIF: ["the chosen rows (else the picked one)", () => file("cif")],
        extxyz: ["the chosen rows (else all shown)", () => file("extxyz")],
        "ASE db": ["the chosen rows (else all shown)", () => file("db")],
        CSV: ["the table as shown", () => [["id", ...columns.map((c) => c.key)], ...visible.map((i) => ["id", ...columns.map((c) => c.key)].map((key) => rows[i][key]))]],
      },
    };
  },
});
