// Sample gallery: a table that sorts and filters, the picked crystal beside it, another pinned for comparison.
function build({ model, el }) {
  const LABEL = "sample gallery", LIMIT = 500, chosen = new Set();
  let order = { key: null, down: false }, visible = [], pinned = null;
  const view = frame(model, el, {
    label: LABEL, elements: true,
    actions: { step: (n) => move(n), first: () => move(-Infinity), last: () => move(Infinity), reset: () => { clear(); one.reset(); two?.reset(); } },
    help: [["click a heading", "sort by it; again: the other way"], ["P", "pin the crystal for comparison"], ["drag, wheel", "turn, zoom"]],
    exports: [["PNG", "Save the picture as PNG at twice its size", async () => { const blob = await one.png(); if (blob) save(`${rows()[picked()]?.id || "crystal"}.png`, blob); }],
      ["HTML", "Save the gallery as one offline page", () => view.ask("html")],
      ["CIF", "Save the chosen rows (else the picked one) as CIF", () => file("cif")], ["extxyz", "Save the chosen rows (else all shown) as extended XYZ", () => file("extxyz")],
      ["ASE db", "Save the chosen rows (else all shown) as an ASE database", () => file("db")], ["CSV", "Save the table as shown", () => csv()]],
  });
  const content = model.get("content");
  const rows = () => content.rows || [];
  if (!rows().length) { view.body.append(h("div", { class: "fw-blank" }, "There is nothing to show: draw some samples first.")); return () => view.end(); }
  const buffer = bytes(model.get("data")), picked = () => model.get("picked");

  const find = h("input", { type: "text", placeholder: "filter: formula, group, reason", "aria-label": "filter rows", style: "flex:1 1 150px;min-width:0", oninput: () => table() });
  const clean = check("only clean", false, () => table()), valid = check("only valid", false, () => table());
  clean.row.hidden = !content.columns.some((c) => c.key === "clean");
  const count = h("span", { class: "fw-note", "aria-live": "polite" });
  const head = h("thead"), bodyRows = h("tbody");
  const grid = h("div", { class: "fw-table", style: "height:392px" }, h("table", { "aria-label": "crystals" }, head, bodyRows));
  const boxOne = h("div", {}), boxTwo = h("div", {}), facts = h("p", { class: "fw-note", "data-picked": "" }), pinFacts = h("p", { class: "fw-note" });
  const pin = h("button", { onclick: () => setPin(), title: "keep this crystal beside the next ones (P)" }, "Pin");
  const twoCol = h("div", { class: "fw-col", style: "flex-basis:240px", hidden: true }, boxTwo, pinFacts);
  const legend = h("div", { class: "fw-legend" });
  const words = new Set(content.columns.map((c) => c.key).filter((key) => rows().some((r) => typeof r[key] === "string")));
  const numeric = content.columns.filter((c) => rows().some((r) => typeof r[c.key] === "number"));
  const pickX = pick("x", numeric.map((c) => [c.key, c.title]), "volume_per_atom", () => map()), pickY = pick("y", numeric.map((c) => [c.key, c.title]), "min_distance", () => map());
  const plot = chart(view, { label: "property map, one point a crystal", height: 200, x: { title: "" }, y: { title: "" }, onPick: (id) => choose(+id) });
  const mapBox = h("details", {}, h("summary", { style: "cursor:pointer" }, "Property map"), h("div", { class: "fw-row" }, pickX.row, pickY.row), plot.host);
  mapBox.addEventListener("toggle", () => map());
  view.body.append(h("div", { class: "fw-col", style: "flex:3 1 440px" }, h("div", { class: "fw-row" }, find, clean.row, valid.row, count), grid),
    h("div", { class: "fw-col", style: "flex:2 1 300px" }, h("div", { class: "fw-body", style: "padding:0" }, h("div", { class: "fw-col", style: "flex-basis:240px" }, boxOne, facts), twoCol), h("div", { class: "fw-row" }, pin, legend)),
    h("div", { style: "flex:1 1 100%" }, mapBox));
  const one = scene(view, boxOne, "the picked crystal");
  let two = null;

  const shownText = (value, key) => value === null || value === undefined ? "–" : value === true ? "✓" : value === false ? "✗" : typeof value === "number" ? (Number.isInteger(value) && key === "n_sites" ? value : Math.abs(value) >= 1000 || Math.abs(value) < 0.001 ? show(value) : value.toFixed(Math.abs(value) < 0.1 ? 4 : Math.abs(value) < 10 ? 2 : 1)) : value;
  const balls = (cell) => {
    const numbers = array(buffer, cell.numbers), places = array(buffer, cell.places);
    return Array.from(numbers, (z, i) => ({ x: places[3 * i], y: places[3 * i + 1], z: places[3 * i + 2], text: content.species[z].symbol, ...content.species[z] }));
  };
  const describe = (row) => [`${row.id} · ${row.formula || "no crystal"}`, row.space_group, row.n_sites && `${row.n_sites} atoms`, row.volume_per_atom && `${show(row.volume_per_atom)} Å³/atom`, row.min_distance && `min d ${show(row.min_distance)} Å`, row.reason && `rejected: ${row.reason}`].filter(Boolean).join(" · ");
  function draw() {
    const cell = content.cells[picked()], row = rows()[picked()];
    one.draw(cell ? { atoms: balls(cell), lattice: cell.lattice } : {}, false);
    facts.textContent = describe(row);
    if (!cell) facts.textContent += ". Nothing was recovered, so there is nothing to draw; pick another row.";
    const here = cell ? [...new Set(array(buffer, cell.numbers))] : [];
    legend.replaceChildren(...here.map((z) => view.chip(content.species[z].symbol, content.species[z].colour)));
    pin.disabled = !cell && pinned === null;
    pin.textContent = pinned === picked() ? "Unpin" : "Pin";
  }
  function setPin() {
    pinned = pinned === picked() || !content.cells[picked()] ? null : picked();
    twoCol.hidden = pinned === null;
    if (pinned !== null) {
      two ||= scene(view, boxTwo, "the pinned crystal");
      const cell = content.cells[pinned];
      two.draw({ atoms: balls(cell), lattice: cell.lattice }, false);
      pinFacts.textContent = "pinned: " + describe(rows()[pinned]);
    }
    draw();
  }
  function choose(i) {
    el.dataset.picked = i;
    model.set("picked", i); model.save_changes();
    for (const tr of bodyRows.children) { const on = +tr.dataset.row === i; tr.setAttribute("aria-selected", String(on)); if (on) { const top = tr.offsetTop - head.offsetHeight, low = tr.offsetTop + tr.offsetHeight; if (top < grid.scrollTop) grid.scrollTop = top; else if (low > grid.scrollTop + grid.clientHeight) grid.scrollTop = low - grid.clientHeight; } }
    draw(); map();
  }
  function move(n) {
    if (!visible.length) return;
    const at = visible.indexOf(picked());
    choose(visible[n === -Infinity ? 0 : n === Infinity ? visible.length - 1 : clamp((at < 0 ? 0 : at) + n, 0, visible.length - 1)]);
  }
  function clear() { find.value = ""; clean.input.checked = valid.input.checked = false; order = { key: null, down: false }; chosen.clear(); table(); }
  function headings() {
    const all = h("input", { type: "checkbox", "aria-label": "choose all shown rows" });
    all.onchange = () => { for (const i of visible) all.checked ? chosen.add(i) : chosen.delete(i); table(); };
    all.checked = visible.length > 0 && visible.every((i) => chosen.has(i));
    head.replaceChildren(h("tr", {}, h("th", { style: "padding:0 8px" }, all), ...content.columns.map((c) => {
      const on = order.key === c.key, text = words.has(c.key);
      const b = h("button", { onclick: () => { order = { key: c.key, down: on ? !order.down : false }; table(); } }, c.title + (on ? (order.down ? " ▾" : " ▴") : ""));
      return h("th", { scope: "col", class: text ? "fw-text" : "", "aria-sort": on ? (order.down ? "descending" : "ascending") : "none" }, b);
    })));
  }
  function table() {
    const asked = find.value.trim().toLowerCase().replace(/[₀-₉]/g, (c) => "₀₁₂₃₄₅₆₇₈₉".indexOf(c)).split(/\s+/).filter(Boolean);
    const plain = (s) => String(s ?? "").toLowerCase().replace(/[₀-₉]/g, (c) => "₀₁₂₃₄₅₆₇₈₉".indexOf(c));
    visible = rows().map((_, i) => i).filter((i) => {
      const r = rows()[i], text = plain([r.id, r.formula, r.space_group, r.reason].join(" "));
      return asked.every((w) => text.includes(w)) && (!clean.input.checked || r.clean) && (!valid.input.checked || r.valid);
    });
    if (order.key) {
      const sign = order.down ? -1 : 1, key = order.key;
      visible.sort((a, b) => { const p = rows()[a][key], q = rows()[b][key]; if (p === null || p === undefined) return 1; if (q === null || q === undefined) return -1; return sign * (typeof p === "string" ? p.localeCompare(q) : p - q); });
    }
    headings();
    bodyRows.replaceChildren(...visible.slice(0, LIMIT).map((i) => {
      const r = rows()[i], box = h("input", { type: "checkbox", "aria-label": `choose ${r.id}`, onclick: (e) => e.stopPropagation() });
      box.checked = chosen.has(i);
      box.onchange = () => { box.checked ? chosen.add(i) : chosen.delete(i); headings(); };
      return h("tr", { "data-row": i, "aria-selected": String(i === picked()), onclick: () => choose(i) }, h("td", {}, box),
        ...content.columns.map((c) => h("td", { class: words.has(c.key) ? "fw-text" : r[c.key] === true ? "fw-yes" : r[c.key] === false ? "fw-no" : "" }, shownText(r[c.key], c.key))));
    }));
    count.textContent = visible.length > LIMIT ? `first ${LIMIT} of ${visible.length} rows: filter to see others` : visible.length ? `${visible.length} of ${rows().length} rows` : "no row matches: clear the filter (R)";
    el.dataset.visible = visible.length;
    map();
  }
  function map() {
    if (!mapBox.open) return;
    const x = pickX.select.value, y = pickY.select.value, title = (k) => content.columns.find((c) => c.key === k).title;
    plot.axes.x.title = title(x); plot.axes.y.title = title(y);
    plot.draw({ points: visible.filter((i) => rows()[i][x] !== null && rows()[i][y] !== null).map((i) => ({ x: rows()[i][x], y: rows()[i][y], id: i, colour: rows()[i].clean === false || rows()[i].valid === false ? "var(--fw-2)" : "var(--fw-1)", on: i === picked(), r: i === picked() ? 6 : 4, text: describe(rows()[i]) })),
      legend: [h("span", { class: "fw-chip" }, h("span", { class: "fw-dot", style: "background:var(--fw-1)" }), content.columns.some((c) => c.key === "clean") ? "clean" : "valid"), h("span", { class: "fw-chip" }, h("span", { class: "fw-dot", style: "background:var(--fw-2)" }), "not")] });
  }
  const file = (kind) => view.ask("file", { kind, rows: chosen.size ? [...chosen] : kind === "cif" ? [picked()] : visible });
  const csv = () => {
    const keys = ["id", ...content.columns.map((c) => c.key)], quote = (v) => (v === null || v === undefined ? "" : /[",\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : v);
    const flat = (v) => (typeof v === "string" ? v.replace(/[₀-₉]/g, (c) => "₀₁₂₃₄₅₆₇₈₉".indexOf(c)) : v);
    save(`${view.name()}.csv`, [keys.join(","), ...visible.map((i) => keys.map((k) => quote(flat(rows()[i][k]))).join(","))].join("\n") + "\n", "text/csv");
  };
  view.root.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "p" && event.target.type !== "text" && !event.ctrlKey && !event.metaKey) setPin(); });
  view.watch("picked", () => { if (+el.dataset.picked !== picked()) choose(picked()); });
  requestAnimationFrame(() => { table(); choose(picked()); });
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["content"], () => build({ model, el }));
