// The text, its labels as chips, the options, and how many tokens they are.

import { drawAdvice } from "./advice.js";
import { $, button, state, translate } from "./page.js";
import { RequestError, request } from "./requests.js";

const COUNT_AFTER_MS = 300;

export function takeLabels() {
  for (const label of $("label").value.split(/[,，\n]/).map((part) => part.trim())) {
    if (label && !state.labels.includes(label)) state.labels.push(label);
  }
  $("label").value = "";
  drawChips();
}

export function drawChips() {
  $("chosen").replaceChildren(...state.labels.map((label) => {
    const item = document.createElement("li");
    const chip = button(`${label} ×`, () => {
      state.labels = state.labels.filter((other) => other !== label);
      drawChips();
      $("label").focus();
    });
    chip.setAttribute("aria-label", `${translate("remove")} ${label}`);
    item.append(chip);
    return item;
  }));
  drawAdvice();
  countSoon();
}

export function options() {
  takeLabels();
  if (!state.labels.length) throw new RequestError(translate("needLabels"));
  const { max_tokens, special_tokens } = state.set ?? {};
  // A copy: labels that are added meanwhile are not asked for.
  const shown = { labels: [...state.labels], hypothesis_template: $("template").value || undefined, multi_label: $("multi").checked };
  return { ...shown, max_tokens: max_tokens ?? undefined, special_tokens: special_tokens ?? undefined, entailment: true };
}

export function ask({ text, labels }) {
  $("text").value = text;
  state.labels = [...labels];
  drawChips();
  $("form").requestSubmit();
}

let counting;
export function countSoon() {
  clearTimeout(counting);
  counting = setTimeout(count, COUNT_AFTER_MS);
}

// Before a message takes the place of the count.
export const countNoMore = () => clearTimeout(counting);

async function count() {
  const text = $("text").value;
  if (!text.trim()) return void ($("counter").textContent = "");
  const body = { text, hypothesis_template: $("template").value || undefined };
  if (state.labels.length) body.labels = state.labels;
  try {
    const counted = await request("POST", "/v1/tokenize", body);
    const longest = (name) => Math.max(0, ...counted.labels.map((label) => label[name]));
    const cut = counted.truncated ? ` · ${translate("cut")(longest("text_cut"), longest("label_cut"))}` : "";
    $("counter").textContent = translate("counter")(Math.max(counted.text_tokens, longest("tokens")), counted.max_tokens) + cut;
  } catch {
    $("counter").textContent = "";
  }
}
