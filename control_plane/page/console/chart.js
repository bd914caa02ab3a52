// Charts in SVG, without numbers that are not in the table beside them: a picture with a name for who cannot see it.

import { element } from "./dom.js";

const WIDTH = 720, HEIGHT = 220, LEFT = 56, BOTTOM = 24, TOP = 10, TICKS = 4, BARS_NAMED = 8;

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const y = (part) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - part);

function frame(name, most, write) {
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
  for (let tick = 0; tick <= TICKS; tick++) {
    const at = y(tick / TICKS);
    chart.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: at, y2: at }), svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, write((most * tick) / TICKS)));
  }
  return chart;
}

// `bars`: { name, values: [first, second] }, one on top of the other.
export function barChart(name, bars, write) {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, ...bars.map((bar) => sum(bar.values))))));
  const most = Math.max(TICKS, Math.ceil(Math.max(...bars.map((bar) => sum(bar.values))) / step) * step);
  const chart = frame(name, most, write), width = (WIDTH - LEFT) / Math.max(bars.length, BARS_NAMED), named = Math.ceil(bars.length / BARS_NAMED);
  bars.forEach((bar, index) => {
    const left = LEFT + index * width;
    let below = 0;
    bar.values.forEach((value, kind) => {
      const height = y(below / most) - y((below + value) / most);
      chart.append(svg("rect", { class: kind ? "second" : "first", x: left + width * 0.1, width: width * 0.8, y: y((below + value) / most), height }, svg("title", {}, `${bar.name}: ${write(value)}`)));
      below += value;
    });
    if (index % named === 0) chart.append(svg("text", { x: left + width / 2, y: HEIGHT - 6, "text-anchor": "middle" }, bar.name));
  });
  return scrolling(chart, name);
}

// `lines`: of points [x, y], both from 0 to 1. `mark`: where the reader is.
export function lineChart(name, lines, mark, write) {
  const chart = frame(name, 1, write), x = (part) => LEFT + (WIDTH - LEFT - 20) * part;
  lines.forEach((points, kind) => {
    const path = points.map(([across, up], index) => `${index ? "L" : "M"}${x(across).toFixed(1)} ${y(up).toFixed(1)}`).join("");
    if (path) chart.append(svg("path", { class: kind ? "second" : "first", d: path }));
  });
  for (let tick = 0; tick <= TICKS; tick++) chart.append(svg("text", { x: x(tick / TICKS), y: HEIGHT - 6, "text-anchor": "middle" }, String(tick / TICKS)));
  chart.append(svg("line", { class: "mark", x1: x(mark), x2: x(mark), y1: y(0), y2: y(1) }));
  return scrolling(chart, name);
}

// A phone is narrower than what can be read.
const scrolling = (chart, name) => element("div", { class: "plot", tabindex: "0", role: "group", "aria-label": name }, chart);
const sum = (values) => values.reduce((total, value) => total + value, 0);
