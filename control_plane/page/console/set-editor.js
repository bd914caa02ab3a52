// Fields for the content of a label set.

import { actions, button, checkbox, element, field, paragraph, section, select } from "./dom.js";
import { keepsCorrection } from "./set-content.js";
import { say } from "./words.js";

// `changed` is called with the whole content after each change. `base`: of the version that it began from, or null.
export function setEditor(content, base, changed) {
  const rows = element("tbody"), correction = paragraph("", "notice");
  const template = element("input", { value: content.hypothesis_template, autocomplete: "off", oninput: read });
  const threshold = element("input", { type: "number", min: 0, max: 1, step: "any", inputmode: "decimal", value: content.threshold, oninput: read });
  const maxTokens = element("input", { type: "number", min: 8, max: 512, step: 1, inputmode: "numeric", value: content.max_tokens, oninput: read });
  const special = select([["", say("asTenant")], ["model", say("asModel")], ["text", say("asText")]], content.special_tokens ?? "", read);
  const multi = checkbox(say("multiLabel"), content.multi_label, read);

  function addRow({ label = "", hypothesis = "" } = {}, before = null) {
    const [first, second] = [label, hypothesis ?? ""].map((value) => element("input", { value, autocomplete: "off", oninput: read, onpaste: paste }));
    second.placeholder = say("hypothesisHint");
    const drop = button("×", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      read();
      (next?.querySelector("button") ?? add).focus();
    }, "second");
    const row = element("tr", {}, ...[first, second, drop].map((node) => element("td", {}, node)));
    rows.insertBefore(row, before);
    nameRows();
    return first;
  }

  // Several lines become several labels.
  function paste(event) {
    const lines = event.clipboardData.getData("text/plain").split(/\r?\n/).filter((line) => line.trim());
    if (lines.length < 2) return;
    event.preventDefault();
    const row = event.target.closest("tr");
    lines.forEach((line) => {
      const [label, hypothesis] = line.split("\t").map((part) => part.trim());
      addRow({ label, hypothesis }, row);
    });
    if (![...row.querySelectorAll("input")].some((input) => input.value.trim())) row.remove();
    read();
  }

  function nameRows() {
    [...rows.rows].forEach((row, index) => {
      const [label, hypothesis] = row.querySelectorAll("input");
      label.setAttribute("aria-label", say("labelNumber", index + 1));
      hypothesis.setAttribute("aria-label", say("hypothesisNumber", index + 1));
      row.querySelector("button").setAttribute("aria-label", say("removeLabel", index + 1));
    });
  }

  function tellOfCorrection() {
    correction.hidden = !base?.correction;
    if (base?.correction) correction.textContent = say(keepsCorrection(content, base) ? "correctionKept" : "correctionLost");
  }

  function read() {
    nameRows();
    const labels = [...rows.rows].map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim()));
    const numberOf = (input) => (input.value === "" ? null : Number(input.value));
    Object.assign(content, {
      labels: labels.filter(([label]) => label).map(([label, hypothesis]) => ({ label, hypothesis: hypothesis || null })),
      hypothesis_template: template.value || "{}", multi_label: multi.input.checked, max_tokens: numberOf(maxTokens),
      threshold: numberOf(threshold), special_tokens: special.value || null,
    });
    tellOfCorrection();
    changed(content);
  }

  const add = button(say("addLabel"), () => addRow().focus(), "second");
  content.labels.forEach((label) => addRow(label));
  if (!content.labels.length) addRow();
  tellOfCorrection();
  const head = [say("label"), say("hypothesis"), ""].map((title) => element(title ? "th" : "td", title ? { scope: "col" } : {}, title));
  return [
    section(say("labels"), element("table", { class: "editor" }, element("thead", {}, element("tr", {}, head)), rows), actions(add), paragraph(say("pasteHint")), correction),
    section(say("options"), element("div", { class: "columns" },
      field(say("template"), template, say("templateHint")), field(say("threshold"), threshold, say("thresholdHint")),
      field(say("maxTokens"), maxTokens, say("maxTokensHint")), field(say("specialTokens"), special)), element("p", {}, multi.node)),
  ];
}
