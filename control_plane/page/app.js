// The page to try it: wires its parts together. No build step, no dependencies.

import { drawAdvice, keepAnswer } from "./advice.js";
import { ask, countSoon, drawChips, options, takeLabels } from "./form.js";
import { drawHistory, forget, remember } from "./history.js";
import { classifyAll } from "./many.js";
import { $, button, show, state, translate } from "./page.js";
import { RequestError, request } from "./requests.js";
import { drawResult } from "./result.js";
import { downloadCsv, downloadJsonl, drawTable, sortBy } from "./rows.js";
import { listSets, loadSet, saveSet } from "./sets.js";
import { dropFile, drawFile, takeFile, useColumn, useHeader } from "./upload.js";
import { PRESETS } from "./texts.js";

function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = translate(element.dataset.i18n);
  $("language").textContent = translate("other");
  $("presets").replaceChildren(...PRESETS.map((preset) => button(preset[language], () => ask(preset))));
  $("set").options.length || listSets();
  if ($("set").options[0]) $("set").options[0].text = translate("choose");
  drawChips();
  drawHistory();
  drawFile();
  drawResult();
  drawTable();
}

async function classify(event) {
  event.preventDefault();
  show(null);
  $("go").disabled = true;
  try {
    const text = $("text").value;
    if (!text.trim()) throw new RequestError(translate("needText"));
    const began = performance.now();
    const asked = options();
    const answer = await request("POST", "/v1/classify", { text, ...asked });
    state.answered = { answer, ms: Math.round(performance.now() - began) };
    drawResult();
    $("resultName").focus({ preventScroll: true });
    keepAnswer(text, answer, asked);
    drawAdvice();
    remember({ text, labels: asked.labels, best: answer.labels[0], score: answer.scores[0] });
  } catch (error) {
    state.answered = null;
    drawResult();
    show(error);
  } finally {
    $("go").disabled = false;
  }
}

function start() {
  $("form").addEventListener("submit", classify);
  $("language").addEventListener("click", () => {
    setLanguage(state.language === "zh" ? "en" : "zh");
    localStorage.setItem("language", state.language);
  });
  $("key").value = sessionStorage.getItem("key") || "";
  $("key").addEventListener("change", () => {
    sessionStorage.setItem("key", $("key").value.trim());
    listSets();
    countSoon();
  });
  for (const id of ["text", "template"]) $(id).addEventListener("input", countSoon);
  $("threshold").addEventListener("input", () => (drawResult(), drawTable()));
  for (const id of ["template", "multi"]) $(id).addEventListener("input", drawAdvice);
  $("label").addEventListener("input", () => {
    if (/[,，]/.test($("label").value)) takeLabels();
  });
  $("label").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && $("label").value.trim() && !event.isComposing) {
      event.preventDefault();
      takeLabels();
    } else if (event.key === "Backspace" && !$("label").value) {
      state.labels.pop();
      drawChips();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("set").addEventListener("change", loadSet);
  $("save").addEventListener("click", saveSet);
  $("run").addEventListener("click", classifyAll);
  $("stop").addEventListener("click", () => state.running.abort());
  $("file").addEventListener("change", () => takeFile($("file").files[0]));
  $("header").addEventListener("change", () => useHeader($("header").checked));
  $("column").addEventListener("change", () => useColumn(Number($("column").value)));
  $("dropFile").addEventListener("click", dropFile);
  for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    $("lines").addEventListener(name, (event) => {
      event.preventDefault();
      $("lines").classList.toggle("dropping", dropping);
      if (name === "drop") takeFile(event.dataTransfer.files[0]);
    });
  }
  $("filter").addEventListener("input", drawTable);
  for (const sorter of document.querySelectorAll("[data-sort]")) sorter.addEventListener("click", () => sortBy(sorter.dataset.sort));
  $("csv").addEventListener("click", downloadCsv);
  $("jsonl").addEventListener("click", downloadJsonl);
  $("forget").addEventListener("click", forget);
  const preferred = localStorage.getItem("language") || navigator.language;
  setLanguage(preferred.startsWith("zh") ? "zh" : "en");
}

start();
