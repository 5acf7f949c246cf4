// Jupyter's widget manager asks requirejs for `anywidget` and MathJax 2 for its queue: answer both from this folder.
const here = document.currentScript.src.replace(/[^/]*$/, "");
window.requirejs.config({ paths: { anywidget: here + "anywidget" } });
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax && !window.MathJax.Hub) {
    window.MathJax.Hub = { Queue: (call) => window.MathJax.typesetPromise([call[2]]) };
  }
});
