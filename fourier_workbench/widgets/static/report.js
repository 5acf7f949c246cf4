// Evaluation report: sections made in Python, in a shadow root of their own, in the colours of the page around them.
function build({ model, el }) {
  const view = frame(model, el, {
    label: "evaluation report",
    exports: [["HTML", "Save the report as one offline page", () => view.ask("html")],
      ["CSV", "Save the rates as CSV", () => save(`${view.name()}.csv`, model.get("rates"), "text/csv")]],
  });
  if (!model.get("html")) { view.body.append(h("div", { class: "fw-blank" }, "There is no evaluation to show: evaluate some samples first.")); return () => view.end(); }
  const host = h("div", { class: "fw-report", style: "flex:1 1 100%;min-width:0" });
  const inside = host.attachShadow({ mode: "open" }), page = h("div", { class: "page" });
  page.innerHTML = model.get("html");
  inside.append(h("style", {}, `${model.get("style")} .page{padding:0 8px 8px;max-width:none;margin:0;background:none} h2{margin-top:18px}`), page);
  view.body.append(host);
  el.dataset.sections = page.querySelectorAll("section").length;
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["html"], () => build({ model, el }));
