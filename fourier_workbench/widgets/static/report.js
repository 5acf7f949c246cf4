// Evaluation report: sections made in Python, in a shadow root of their own, in the colours of the page around them.
function build({ model, el }) {
  const view = frame(model, el, {
    label: "evaluation report",
    exports: [["PNG", "Save the report as PNG at twice its size", async () => save(`${view.name()}.png`, await picture())], ["HTML", "Save the report as one offline page", () => view.ask("html")],
      ["CSV", "Save the rates as CSV", () => save(`${view.name()}.csv`, model.get("rates"), "text/csv")]],
  });
  if (!model.get("html")) { view.body.append(h("div", { class: "fw-blank" }, "There is no evaluation to show: evaluate some samples first.")); return () => view.end(); }
  const host = h("div", { class: "fw-report", style: "flex:1 1 100%;min-width:0" });
  const inside = host.attachShadow({ mode: "open" }), page = h("div", { class: "page" });
  page.innerHTML = model.get("html");
  inside.append(h("style", {}, `${model.get("looks")} .page{padding:0 8px 8px;max-width:none;margin:0;background:none} h2{margin-top:18px}`), page);
  view.body.append(host);
  // The page as it is, drawn by the browser itself: its nodes inside an SVG, with the colours of the theme written out.
  async function picture() {
    const { width, height } = page.getBoundingClientRect(), computed = getComputedStyle(host), copy = page.cloneNode(true);
    const names = ["--ink", "--soft", "--line", "--paper", "--card", "--accent", "--bad", "--line-1", "--line-2", "--line-3", "--line-4", "--line-5"];
    copy.prepend(h("style", {}, inside.querySelector("style").textContent));
    copy.setAttribute("style", names.map((name) => `${name}:${computed.getPropertyValue(name)}`).join(";") + `;color:${computed.color};background:${view.colour("--fw-bg")};font:${computed.font}`);
    const text = new XMLSerializer().serializeToString(copy), image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="${2 * width}" height="${2 * height}" viewBox="0 0 ${width} ${height}"><foreignObject width="100%" height="100%">${text}</foreignObject></svg>`);
    await image.decode();
    const canvas = h("canvas", { width: 2 * width, height: 2 * height }), pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }
  el.dataset.sections = page.querySelectorAll("section").length;
  return () => view.end();
}

const render = ({ model, el }) => rebuilt(model, ["html"], () => build({ model, el }));
