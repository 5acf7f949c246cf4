// Draws the page's plotly figures: each waits in a <script type="application/json"> beside its empty box. One copy of
// plotly.js serves the page, loaded only where there is a figure.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  document.addEventListener("DOMContentLoaded", () => {
    const boxes = document.querySelectorAll(".plotly-figure");
    if (!boxes.length) return;
    const tag = document.createElement("script");
    tag.src = here + "plotly.min.js";
    tag.onload = () => {
      for (const box of boxes) {
        const figure = JSON.parse(box.nextElementSibling.textContent);
        window.Plotly.newPlot(box, figure.data, figure.layout, { ...figure.config, responsive: true });
      }
    };
    document.head.append(tag);
  });
})();
