// What was classified before, kept in this browser alone.

import { ask } from "./form.js";
import { $, button, percent } from "./page.js";

const MAX_HISTORY = 20;

const pastEntries = () => JSON.parse(localStorage.getItem("history") || "[]");

export function remember(entry) {
  const others = pastEntries().filter((other) => other.text !== entry.text || other.labels.join() !== entry.labels.join());
  localStorage.setItem("history", JSON.stringify([entry, ...others].slice(0, MAX_HISTORY)));
  drawHistory();
}

export function drawHistory() {
  $("pastArea").hidden = !pastEntries().length;
  $("history").replaceChildren(...pastEntries().map((entry) => {
    const item = document.createElement("li");
    item.append(button(`${entry.text.slice(0, 60)} → ${entry.best} ${percent(entry.score)}`, () => ask(entry), "plain"));
    return item;
  }));
}

export function forget() {
  localStorage.removeItem("history");
  drawHistory();
}
