// Run dashboard: what a run's files hold, and buttons that write its control file. Reloading the page loses nothing.
const render = defineView({
  label: "training dashboard", empty: "There is no run to watch: give a run or its directory.",
  ready: (model) => model.get("reports").length, rebuildOn: ["reports"], once: true, // later reports come once a second and are followed within
  build(view) {
    const { model, el, body } = view, reports = () => model.get("reports"), titles = model.get("metrics"), metrics = Object.keys(titles);
    const control = (command) => view.send("control", { command });
    const button = (text, command, title) => h("button", { onclick: () => control(command), title, "data-command": command }, text);
    const buttons = {
      pause: button("❚❚ Pause", "pause", "hold after this step, with the models in memory"),
      resume: button("▶ Resume", "resume", "continue, in a new process where the old one ended"),
      checkpoint: button("Checkpoint", "checkpoint", "write a checkpoint and continue"),
      stop: button("■ Stop", "stop", "write a checkpoint and end"),
    };
    const more = h("input", { type: "number", min: 1, step: 1, style: "width:84px", "aria-label": "steps to add", value: 100 });
    const extend = h("span", { class: "fw-field" }, h("button", {
      title: "train that many more steps in this stage; a live run is stopped and started again", "data-command": "extend",
      onclick: () => view.send("extend", { steps: Math.round(+more.value) }),
    }, "Extend by"), more, "steps");
    const bar = h("i"), progress = h("div", { class: "fw-bar", role: "progressbar", "aria-label": "progress of this stage", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const state = h("b", { "data-state": "" }), where = h("span", { class: "fw-note" });
    const failure = h("div", { class: "fw-error fw-wide", role: "alert", hidden: true, style: "margin:0" });
    const stage = menu("stage", [["auto", "current"]], "auto", () => draw());
    const logged = checkbox("log axis", true, () => draw()), smooth = slider("smoothing", { min: 0, max: 0.98, step: 0.02, value: 0 }, () => draw());
    const panels = h("div", { class: "fw-panels" }), reconstruction = h("div", { class: "fw-col fw-wide", hidden: true });
    smooth.row.classList.add("fw-time");
    body.append(wide(state, progress, where, ...Object.values(buttons), extend), failure, wide(stage.row, logged.row, smooth.row), panels, reconstruction);

    const fallback = { nnz: "noise_rmse", four_rmse: "signal_rmse" }; // the diffuser logs other metrics than the autoencoder
    const charts = [["loss", true], ["nnz", false], ["four_rmse", true], ["lr", false]].map(([first, log], i) => {
      const plot = chart(view, { label: titles[first], height: 185, x: { title: "training step" }, y: { title: "" } });
      const which = menu("", metrics.map((name) => [name, titles[name]]), first, () => draw(), `metric of chart ${i + 1}`);
      panels.append(column(280, row(which.row), plot.host));
      return { plot, which, log };
    });
    const smoothed = (values, weight) => { let mean = null; return values.map((v) => (v === null ? null : (mean = mean === null ? v : weight * mean + (1 - weight) * v))); };
    const shownStage = (run) => (stage.select.value !== "auto" ? stage.select.value : run.stages[run.stage] ? run.stage : Object.keys(run.stages).at(-1));
    function draw() {
      const weight = +smooth.input.value;
      smooth.output.textContent = weight ? weight.toFixed(2) : "off";
      for (const { plot, which, log } of charts) {
        const curves = reports().map((run) => run.stages[shownStage(run)]), lines = [];
        let name = which.select.value;
        if (fallback[name] && !curves.some((c) => c?.[name])) name = fallback[name];
        reports().forEach((run, r) => {
          const c = curves[r], colour = SERIES[r % SERIES.length];
          if (!c?.[name]) return;
          if (weight) lines.push({ x: c.step, y: c[name], colour, opacity: 0.25 });
          lines.push({ x: c.step, y: weight ? smoothed(c[name], weight) : c[name], colour, name: reports().length > 1 ? run.name : shownStage(run), width: 1.8 });
        });
        Object.assign(plot.axes.y, { title: titles[name], log: log && logged.input.checked, min: name === "nnz" || name === "lr" ? 0 : undefined });
        plot.draw({ lines, empty: Object.keys(reports()[0].stages).length ? "Not logged in this stage" : "Waiting for the first logged step …" });
      }
    }
    function update() {
      const run = reports()[0], share = run.total ? Math.min(run.step / run.total, 1) : 0, failed = run.state === "failed";
      state.textContent = run.state;
      state.className = failed ? "fw-no" : run.state === "running" || run.state === "done" ? "fw-yes" : "";
      bar.style.width = `${100 * (run.state === "done" ? 1 : share)}%`;
      progress.setAttribute("aria-valuenow", Math.round(100 * share));
      const left = run.state === "running" && run.eta_s ? `${formatDuration(run.eta_s)} left in this stage` : "";
      where.textContent = [run.stage && `${run.stage} ${run.step} / ${run.total}`, left, run.checkpoint && `last checkpoint ${run.checkpoint}`].filter(Boolean).join(" · ");
      buttons.pause.hidden = run.state === "paused" || !run.live;
      buttons.pause.disabled = run.state === "starting";
      buttons.resume.hidden = run.live && run.state !== "paused";
      buttons.resume.disabled = run.state === "done" || run.state === "empty";
      buttons.stop.disabled = buttons.checkpoint.disabled = !run.live;
      extend.hidden = !run.planned;
      failure.hidden = !failed;
      const rescue = run.checkpoint ? `The last checkpoint is ${run.checkpoint}; Resume continues from it.` : "There is no checkpoint yet; Resume starts again.";
      failure.textContent = failed ? `This run failed: ${run.error}\n${rescue}${run.log ? `\n\n${run.log}` : ""}` : "";
      const stages = [...new Set(reports().flatMap((r) => Object.keys(r.stages)))], chosen = stage.select.value;
      if (stage.select.options.length !== stages.length + 1) {
        stage.fill([["auto", "current"], ...stages.map((s) => [s, s])]);
        stage.select.value = stages.includes(chosen) ? chosen : "auto";
      }
      Object.assign(el.dataset, { state: run.state, step: run.step });
      draw();
    }

    // The crystal that the run decodes as training proceeds; nothing is built before there is one.
    let both = null, asked = null, course = null, clock = null;
    const moments = () => model.get("moments"), at = () => asked ?? moments().indexOf(model.get("decoded").step);
    const marked = () => { clock.input.value = at(); clock.output.textContent = `step ${moments()[at()]} (${at() + 1} of ${moments().length})`; };
    const go = (k) => {
      if (!both) return;
      asked = clamp(k, 0, moments().length - 1);
      marked();
      view.request("moment", { step: moments()[asked] });
    };
    function drawDecoded() {
      const now = model.get("decoded"), errors = model.get("errors");
      if (!now.scenes || !moments().length) return;
      if (!both) {
        both = comparison(view, ["the crystal", "its reconstruction"]);
        clock = slider("training step", { min: 0, max: 0, value: 0, time: true }, go);
        course = chart(view, { label: "relative error of the decoded coefficients against the training step", height: 130, x: { title: "training step" }, y: { title: "relative error", min: 0 }, onPick: (k) => go(+k) });
        reconstruction.append(h("h4", {}, "A fixed crystal, reconstructed as training proceeds"), clock.row, both.host, course.host);
        reconstruction.hidden = false;
      }
      clock.input.max = moments().length - 1;
      if (moments()[asked] === now.step) asked = null;
      marked();
      both.draw(now.scenes, toBuffer(model.get("data")), ["the crystal", `reconstructed at step ${now.step}: relative error ${formatNumber(now.error)}`]);
      const point = (step, k) => ({ x: step, y: errors[k], id: k, colour: "var(--fw-3)", r: step === now.step ? 6 : 3, on: step === now.step, text: `step ${step}: relative error ${formatNumber(errors[k])}` });
      course.draw({ lines: [{ x: moments(), y: errors, colour: "var(--fw-3)" }], points: moments().map(point) });
      el.dataset.moment = now.step;
    }
    view.watch("reports", update);
    view.watch(["decoded", "moments"], drawDecoded);
    requestAnimationFrame(() => { update(); drawDecoded(); });
    const table = () => {
      const logs = reports().flatMap((run) => Object.entries(run.stages).map(([name, curves]) => [run.name, name, curves])), keys = metrics.filter((key) => logs.some(([, , c]) => c[key]));
      return [["run", "stage", "step", ...keys], ...logs.flatMap(([run, name, c]) => c.step.map((step, i) => [run, name, step, ...keys.map((key) => c[key]?.[i])]))];
    };
    return {
      actions: {
        play: () => control(reports()[0].state === "running" ? "pause" : "resume"),
        step: (n) => go(at() + n), first: () => go(0), last: () => go(moments().length - 1),
        reset: () => { smooth.input.value = 0; logged.input.checked = true; stage.select.value = "auto"; draw(); both?.reset(); },
      },
      help: [["← → Home End", "earlier and later reconstructions of the crystal"]],
      files: { PNG: ["the charts", () => chartsToPng(view, charts.map((c) => c.plot))], CIF: ["the crystal as reconstructed at this step", () => view.request("cif")], CSV: ["the curves", table] },
      opens: [["Ladder", "Open this run in the linked ladder view", () => view.request("ladder")]],
    };
  },
});
