// Where a chart stands: it is drawn as wide as its place, anew whenever that changes, and as large as
// the text around it, which grows on a wall.

import { h } from "./dom.js";

const NARROWEST_PX = 280;
const USUAL_TEXT_PX = 16; // Charts are drawn for text of this size around them.

// {node, show, stop}: `draw` makes an SVG element of what is shown, and of a `width` in its own pixels;
// `stop` ends the watch over the width.
export function chartPlace(draw) {
  const node = h("div", { class: "chart" });
  let shown = null;
  const drawn = () => {
    if (shown === null || node.clientWidth === 0) return;
    const scale = textPx() / USUAL_TEXT_PX;
    const width = Math.max(NARROWEST_PX, Math.floor(node.clientWidth / scale));
    const chart = draw({ ...shown, width });
    for (const side of ["width", "height"]) {
      chart.setAttribute(side, scale * Number(chart.getAttribute(side)));
    }
    node.replaceChildren(chart);
  };
  const watcher = new ResizeObserver(drawn);
  watcher.observe(node);
  return {
    node,
    show(chart) {
      shown = chart;
      drawn();
    },
    stop: () => watcher.disconnect(),
  };
}

const textPx = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
