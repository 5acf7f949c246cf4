const scenes = JSON.parse(document.getElementById("scenes").textContent);
const dialog = document.getElementById("view");
let viewer = null;
function show(card) {
  const scene = scenes[card.dataset.scene], ink = getComputedStyle(document.body).color;
  document.getElementById("name").textContent = card.querySelector("b").textContent + " · " + card.title;
  dialog.showModal();
  viewer = viewer || $3Dmol.createViewer("stage", {backgroundAlpha: 0});
  viewer.clear();
  const point = p => ({x: p[0], y: p[1], z: p[2]});
  for (const [symbol, colour, x, y, z] of scene.atoms) viewer.addSphere({center: {x, y, z}, radius: 0.42, color: colour});
  const at = i => point(scene.atoms[i].slice(2));
  for (const [i, j] of scene.bonds)
    viewer.addCylinder({start: at(i), end: at(j), radius: 0.09, color: "#8a8f98"});
  const corner = (i, j, k) => [0, 1, 2].map(d => i * scene.cell[0][d] + j * scene.cell[1][d] + k * scene.cell[2][d]);
  for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) if (!(a & bit)) {
    const end = n => point(corner(n & 1, (n >> 1) & 1, (n >> 2) & 1));
    viewer.addLine({start: end(a), end: end(a | bit), color: ink, linewidth: 2});
  }
  viewer.resize(); viewer.zoomTo(); viewer.rotate(-72, "x"); viewer.rotate(17, "y"); viewer.render();
}
document.querySelectorAll("button.card").forEach(card => card.addEventListener("click", () => show(card)));
