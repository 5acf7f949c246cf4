// The diffraction panel of explorer, gallery and player: measured above, simulated below, their difference under both.
// `draw({x, measured, calculated, title, marks, r, lit, note})`; `marks` are {at, text} of the lines that `onPick` can be called with.
function patternPanel(view, { onPick = null, height = 220, title = "Diffraction pattern" } = {}) {
  const MARKS = -1.12, DIFFERENCE = -1.5, words = note({ "data-fact": "pattern" });
  const plot = chart(view, {
    title, label: "measured diffraction pattern above, simulated below, difference under both", height, onPick,
    x: { title: "" }, y: { title: "intensity", bare: true },
  });
  const draw = ({ x, measured, calculated, title: axis, marks = null, r = null, lit = null, about = "" }) => {
    plot.axes.x.title = axis;
    const xs = Array.from(x), up = Array.from(measured), line = (y, colour, name, width = 1.2) => ({ x: xs, y, colour, name, width });
    const lines = [line(up, "var(--fw-1)", "measured")];
    if (calculated) {
      lines.push(line(Array.from(calculated, (v) => -v), "var(--fw-2)", "simulated"));
      lines.push(line(up.map((v, i) => 0.5 * (v - calculated[i]) + DIFFERENCE), "var(--fw-soft)", "difference, half as high", 1));
    }
    const points = (marks?.at || []).map((at, i) => ({ x: at, y: MARKS, id: i, text: marks.text[i], colour: i === lit ? "var(--fw-accent)" : "var(--fw-3)", on: i === lit, r: i === lit ? 5 : 3 }));
    plot.draw({ lines, points });
    words.textContent = [r === null || r === undefined ? "" : `R = ${formatNumber(r)}`, about, onPick ? "click a mark to see the plane wave of its strongest reflection" : ""].filter(Boolean).join(" · ");
  };
  return { host: h("div", { class: "fw-wide" }, plot.host, words), draw, plot };
}
