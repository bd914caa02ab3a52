// What the parts of the page share: its elements, its state, its language.

import { TEXTS } from "./texts.js";

export const $ = (id) => document.getElementById(id);
export const state = { language: "zh", labels: [], rows: [], sort: { by: "number", down: false }, set: null, running: null, table: null, answered: null };
export const translate = (name) => TEXTS[state.language][name];
export const percent = (score) => `${(100 * score).toFixed(1)}%`;

export function button(text, onClick, className = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.className = className;
  element.addEventListener("click", onClick);
  return element;
}

export function show(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}
