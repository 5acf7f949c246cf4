// Evaluation report: sections made in Python, in a shadow root, in the colours of the page around them.
const render = defineView({
  label: "evaluation report", empty: "There is no evaluation to show: evaluate some samples first.",
  ready: (model) => model.get("html"), rebuildOn: ["html"], palette: false,
  build(view) {
    const { model, el, body } = view, host = h("div", { class: "fw-report fw-wide" });
    const inside = host.attachShadow({ mode: "open" }), page = h("div", { class: "page" });
    page.innerHTML = model.get("html");
    inside.append(h("style", {}, `${model.get("css")} .page{padding:0 8px 8px;max-width:none;margin:0;background:none} h2{margin-top:18px}`), page);
    body.append(host);
    el.dataset.sections = page.querySelectorAll("section").length;
    // The browser draws the page's nodes inside an SVG, with the theme's colours written out.
    const picture = async () => {
      const { width, height } = page.getBoundingClientRect(), computed = getComputedStyle(host), copy = page.cloneNode(true);
      const names = ["ink", "soft", "line", "paper", "card", "accent", "bad", "line-1", "line-2", "line-3", "line-4", "line-5"];
      copy.prepend(h("style", {}, inside.querySelector("style").textContent));
      copy.setAttribute("style", names.map((name) => `--${name}:${computed.getPropertyValue(`--${name}`)}`).join(";") + `;color:${computed.color};font:${computed.font}`);
      const text = new XMLSerializer().serializeToString(copy), { canvas, pen } = doubleCanvas(view, width, height);
      pen.drawImage(await svgImage(`<svg xmlns="http://www.w3.org/2000/svg" width="${2 * width}" height="${2 * height}" viewBox="0 0 ${width} ${height}"><foreignObject width="100%" height="100%">${text}</foreignObject></svg>`), 0, 0, width, height);
      return toPng(canvas);
    };
    return { files: { PNG: ["the report", picture], CSV: ["the rates", () => model.get("rates")] } };
  },
});
