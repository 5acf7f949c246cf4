// Jupyter's widget manager asks requirejs for `anywidget` and MathJax 2 for its queue: answer both from this folder. The
// scripts of views are kept once for all pages; put them back before the manager, which waits for `load`, reads its state.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  window.requirejs.config({ paths: { anywidget: here + "anywidget" } });
  document.addEventListener("DOMContentLoaded", () => {
    if (window.MathJax && !window.MathJax.Hub) {
      window.MathJax.Hub = { Queue: (call) => window.MathJax.typesetPromise([call[2]]) };
    }
    const tag = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
    if (!tag) return;
    const state = JSON.parse(tag.textContent);
    const shared = Object.values(state.state).flatMap((model) =>
      ["_esm", "_css"].filter((trait) => String(model.state[trait]).startsWith("shared:")).map((trait) => [model.state, trait]));
    const names = new Set(shared.map(([traits, trait]) => traits[trait].slice("shared:".length)));
    let missing = names.size;
    for (const name of names) {
      const script = document.createElement("script");
      script.src = `${here}${name}.js`;
      script.onload = () => {
        missing -= 1;
        if (missing) return;
        for (const [traits, trait] of shared) traits[trait] = window.fwbShared[traits[trait].slice("shared:".length)];
        tag.textContent = JSON.stringify(state);
      };
      document.head.append(script);
    }
  });
})();
