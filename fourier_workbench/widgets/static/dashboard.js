// Run dashboard: what the files say, and buttons that write the control file. Reloading the page loses nothing.
function build({ model, el }) {
  const LABEL = "training dashboard";
  const news = () => model.get("news");
  const titles = model.get("metrics");
  const view = frame(model, el, {
    label: LABEL, elements: true,
    help: [["← → Home End", "earlier and later moments of the decoded crystal"]],
    actions: { play: () => steer(news()[0]?.state === "running" ? "pause" : "resume"), step: (n) => moment(at() + n), first: () => moment(0), last: () => moment(moments().length - 1), reset: () => { smooth.input.value = 0; logged.input.checked = true; stage.select.value = "auto"; draw(); both?.reset(); } },
    exports: [["PNG", "Save the charts as PNG at twice their size", async () => save(`${view.name()}.png`, await chartsToPng(view, charts.map((c) => c.plot)))], ["HTML", "Save the dashboard as one offline page", () => view.ask("html")], ["CIF", "Save the crystal decoded at this moment as CIF", () => view.ask("cif")], ["CSV", "Save the curves as CSV", () => csv()], ["Ladder", "Open this run in the linked ladder view", () => view.ask("ladder")]],
  });
  if (!news().length) { view.body.append(h("div", { class: "fw-blank" }, "There is no run to watch.")); return () => view.end(); }
  const steer = (command) => view.tell("steer", { command });
  const button = (text, command, hint) => h("button", { onclick: () => steer(command), title: hint, "data-steer": command }, text);
  const buttons = { pause: button("❚❚ Pause", "pause", "hold after this step, models in memory"), resume: button("▶ Resume", "resume", "go on, in a new process where the old one ended"), checkpoint: button("Checkpoint", "checkpoint", "write a checkpoint and go on"), stop: button("■ Stop", "stop", "write a checkpoint and end") };
  const more = h("input", { type: "number", min: 1, step: 1, style: "width:84px", "aria-label": "steps to add", value: 100 });
  const extend = h("span", { class: "fw-field" }, h("button", { title: "train that many more steps in this stage; a run that goes on is stopped and started again", "data-steer": "extend", onclick: () => view.tell("extend", { steps: Math.round(+more.value) }) }, "Extend by"), more, "steps");
  const bar = h("i"), progress = h("div", { class: "fw-bar", role: "progressbar", "aria-label": "progress of this stage", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const state = h("b", { "data-state": "" }), where = h("span", { class: "fw-note" });
  const trouble = h("div", { class: "fw-error", role: "alert", hidden: true, style: "margin:0;flex:1 1 100%" });
  const stage = pick("stage", [["auto", "current"]], "auto", () => draw());
  const logged = check("log axis", true, () => draw());
  const smooth = slider("smoothing", { min: 0, max: 0.98, step: 0.02, value: 0 }, () => draw());
  const panels = h("div", { style: "flex:1 1 100%;min-width:0;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,max(280px,40%)),1fr));gap:10px" });
  view.body.append(h("div", { class: "fw-row", style: "flex:1 1 100%" }, state, progress, where, ...Object.values(buttons), extend), trouble,
    h("div", { class: "fw-row", style: "flex:1 1 100%" }, stage.row, logged.row, h("div", { style: "flex:1 1 240px" }, smooth.row)), panels);

  // The crystal that the run decodes as training goes; nothing is built before there is one.
  const moments = () => model.get("moments"), at = () => (asked ?? moments().indexOf(model.get("decoded").step));
  const probed = h("div", { class: "fw-col", style: "flex:1 1 100%", hidden: true });
  view.body.append(probed);
  let both = null, asked = null, course = null, clock = null;
  function moment(k) {
    if (!both) return;
    asked = clamp(k, 0, moments().length - 1);
    label();
    view.ask("probe", { step: moments()[asked] });
  }
  function label() { clock.input.value = at(); clock.output.textContent = `step ${moments()[at()]} (${at() + 1} of ${moments().length})`; }
  function decoded() {
    const now = model.get("decoded");
    if (!now.scenes || !moments().length) return;
    if (!both) {
      both = pair(view, ["the crystal", "what the model makes of it"]);
      clock = slider("moment", { min: 0, max: 0, value: 0, time: true }, moment);
      course = chart(view, { label: "relative error of the decoded coefficients against the training step", height: 130, x: { title: "training step" }, y: { title: "relative error", min: 0 }, onPick: (k) => moment(+k) });
      probed.append(h("h4", { style: "margin:0;font-size:12px" }, "A fixed crystal, decoded as training goes"), clock.row, both.host, course.host);
      probed.hidden = false;
    }
    clock.input.max = moments().length - 1;
    if (asked !== null && moments()[asked] === now.step) asked = null;
    label();
    both.draw(now.scenes, bytes(model.get("data")), ["the crystal", `decoded at step ${now.step}: relative error ${show(now.error)}`]);
    course.draw({ lines: [{ x: moments(), y: model.get("errors"), colour: "var(--fw-3)" }], points: moments().map((s, k) => ({ x: s, y: model.get("errors")[k], id: k, colour: "var(--fw-3)", r: s === now.step ? 6 : 3, on: s === now.step, text: `step ${s}: relative error ${show(model.get("errors")[k])}` })) });
    el.dataset.moment = now.step;
  }
  const charts = [];
  const add = (names, first, log) => {
    const plot = chart(view, { label: titles[first], height: 185, x: { title: "training step" }, y: { title: "" } });
    const which = pick("", names.map((n) => [n, titles[n]]), first, () => draw());
    which.select.setAttribute("aria-label", `metric of chart ${charts.length + 1}`);
    panels.append(h("div", { class: "fw-col" }, h("div", { class: "fw-row" }, which.row), plot.host));
    charts.push({ plot, which, log });
  };
  const names = Object.keys(titles);
  add(names, "loss", true); add(names, "nnz", false); add(names, "four_rmse", true); add(names, "lr", false);
  const colours = ["var(--fw-1)", "var(--fw-2)", "var(--fw-3)", "var(--fw-4)", "var(--fw-5)", "var(--fw-6)"];
  const fallback = { nnz: "noise_rmse", four_rmse: "signal_rmse" }; // the diffuser logs other things than the autoencoder

  const calm = (values, weight) => { let mean = null; return values.map((v) => { if (v === null) return null; mean = mean === null ? v : weight * mean + (1 - weight) * v; return mean; }); };
  const current = (run) => (stage.select.value === "auto" ? (run.stages[run.stage] ? run.stage : Object.keys(run.stages).at(-1)) : stage.select.value);
  function draw() {
    const weight = +smooth.input.value;
    smooth.output.textContent = weight ? weight.toFixed(2) : "off";
    for (const { plot, which, log } of charts) {
      const lines = [];
      let name = which.select.value;
      const here = news().map((run) => run.stages[current(run)]).filter(Boolean);
      if (here.length && !here.some((c) => c[name]) && fallback[name]) name = fallback[name];
      news().forEach((run, r) => {
        const c = run.stages[current(run)];
        if (!c?.[name]) return;
        const colour = colours[r % colours.length], label = news().length > 1 ? run.name : current(run);
        if (weight) lines.push({ x: c.step, y: c[name], colour, opacity: 0.25 });
        lines.push({ x: c.step, y: weight ? calm(c[name], weight) : c[name], colour, name: label, width: 1.8 });
      });
      plot.axes.y.title = titles[name];
      plot.axes.y.log = log && logged.input.checked;
      plot.axes.y.min = name === "nnz" || name === "lr" ? 0 : undefined;
      plot.draw({ lines, empty: Object.keys(news()[0].stages).length ? `Not logged in this stage` : "Waiting for the first logged step …" });
    }
  }
  function update() {
    const run = news()[0], share = run.total ? Math.min(run.step / run.total, 1) : 0, stages = [...new Set(news().flatMap((r) => Object.keys(r.stages)))];
    state.textContent = run.state;
    state.className = run.state === "failed" ? "fw-no" : run.state === "running" || run.state === "done" ? "fw-yes" : "";
    bar.style.width = `${100 * (run.state === "done" ? 1 : share)}%`;
    progress.setAttribute("aria-valuenow", Math.round(100 * share));
    where.textContent = [run.stage && `${run.stage} ${run.step} / ${run.total}`, run.state === "running" && run.eta_s ? `${minutes(run.eta_s)} left in this stage` : "", run.checkpoint ? `last checkpoint ${run.checkpoint}` : ""].filter(Boolean).join(" · ");
    buttons.pause.hidden = run.state === "paused" || !run.live;
    buttons.pause.disabled = run.state === "starting";
    buttons.resume.hidden = run.live && run.state !== "paused";
    buttons.resume.disabled = run.state === "done" || run.state === "empty";
    extend.hidden = !run.planned;
    buttons.stop.disabled = buttons.checkpoint.disabled = !run.live;
    trouble.hidden = run.state !== "failed";
    trouble.textContent = run.state === "failed" ? `This run failed: ${run.error}\n${run.checkpoint ? `The last good checkpoint is ${run.checkpoint}: Resume goes on from there.` : "There is no checkpoint yet: Resume starts anew."}` + (run.log ? `\n\n${run.log}` : "") : "";
    const options = ["auto", ...stages].join();
    if (stage.select.dataset.options !== options) {
      const before = stage.select.value;
      stage.select.replaceChildren(h("option", { value: "auto" }, "current"), ...stages.map((s) => h("option", { value: s }, s)));
      stage.select.value = before === "auto" || stages.includes(before) ? before : "auto";
      stage.select.dataset.options = options;
    }
    el.dataset.state = run.state; el.dataset.step = run.step;
    draw();
  }
  const csv = () => {
    const keys = names.filter((n) => news().some((r) => Object.values(r.stages).some((c) => c[n]))), lines = [["run", "stage", "step", ...keys].join(",")];
    for (const run of news()) for (const [s, c] of Object.entries(run.stages)) c.step.forEach((step, i) => lines.push([run.name, s, step, ...keys.map((k) => c[k]?.[i] ?? "")].join(",")));
    save(`${view.name()}.csv`, lines.join("\n") + "\n", "text/csv");
  };
  view.watch("news", update);
  view.watch(["decoded", "moments"], decoded);
  requestAnimationFrame(() => { update(); decoded(); });
  return () => view.end();
}

// The news come once a second and are followed within; only the first of them builds the view.
function render({ model, el }) {
  let end = build({ model, el });
  if (model.get("news").length) return () => end();
  const first = () => { model.off("change:news", first); end(); end = build({ model, el }); };
  model.on("change:news", first);
  return () => { model.off("change:news", first); end(); };
}
