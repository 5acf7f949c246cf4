// Draws the page's plotly figures: each waits in a <script type="application/json"> beside its empty box. One copy of
// plotly.js serves the page, loaded only where there is a figure, which follows the page's light or dark theme.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const night = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && night.matches);
  };
  const colours = (figure) => {
    const [text, line] = isDark() ? ["#ececec", "#555"] : ["#1c1c1c", "#d8d8d8"];
    const clear = "rgba(0,0,0,0)";
    const change = { paper_bgcolor: clear, plot_bgcolor: clear, "font.color": text };
    const axes = figure.data.some((trace) => /3d|surface|cone|isosurface|volume/.test(trace.type)) ? [] : ["xaxis", "yaxis"];
    for (const name of [...axes, ...Object.keys(figure.layout).filter((key) => /^[xy]axis\d*$/.test(key))]) {
      change[`${name}.gridcolor`] = change[`${name}.zerolinecolor`] = change[`${name}.linecolor`] = line;
    }
    for (const name of Object.keys(figure.layout).filter((key) => /^scene\d*$/.test(key))) change[`${name}.bgcolor`] = clear;
    return change;
  };
  const put = (layout, changes) => {
    for (const [path, value] of Object.entries(changes)) {
      const keys = path.split(".");
      let at = layout;
      for (const key of keys.slice(0, -1)) at = at[key] ??= {};
      at[keys.at(-1)] = value;
    }
    return layout;
  };
  document.addEventListener("DOMContentLoaded", () => {
    const boxes = [...document.querySelectorAll(".plotly-figure")];
    if (!boxes.length) return;
    const tag = document.createElement("script");
    tag.src = here + "plotly.min.js";
    tag.onload = () => {
      const figures = boxes.map((box) => [box, JSON.parse(box.nextElementSibling.textContent)]);
      for (const [box, figure] of figures) {
        const config = { displaylogo: false, responsive: true, ...figure.config };
        window.Plotly.newPlot(box, figure.data, put(figure.layout, colours(figure)), config);
      }
      const again = () => { for (const [box, figure] of figures) window.Plotly.relayout(box, colours(figure)); };
      new MutationObserver(again).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
      night.addEventListener("change", again);
    };
    document.head.append(tag);
  });
})();
