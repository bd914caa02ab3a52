// The answer for one text: its labels as bars, best first.

import { $, percent, state, translate } from "./page.js";

export function noneOf(answer) {
  const threshold = Number($("threshold").value);
  return threshold > 0 && Math.max(...answer.entailment) < threshold;
}

// Anew when language or threshold change.
export function drawResult() {
  $("result").hidden = !state.answered;
  if (!state.answered) return;
  const { answer, ms } = state.answered;
  const none = noneOf(answer);
  $("bars").className = none ? "none" : "";
  $("bars").replaceChildren(...answer.labels.map((label, index) => {
    const item = document.createElement("li");
    const [name, track, fill, score] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    name.className = "name";
    name.textContent = label;
    track.className = "track";
    track.setAttribute("aria-hidden", "true");
    fill.className = "fill";
    requestAnimationFrame(() => (fill.style.width = percent(answer.scores[index])));
    track.append(fill);
    score.className = "score";
    score.textContent = percent(answer.scores[index]);
    item.append(name, track, score);
    return item;
  }));
  const notices = [
    none && translate("none"),
    answer.truncated && translate("wasCut")(answer.cut),
    answer.unknown_share && translate("unknownText")(percent(answer.unknown_share)),
    answer.unknown_labels && translate("unknownLabels")(answer.unknown_labels.join("、")),
  ].filter(Boolean);
  $("notice").textContent = notices.join(" ");
  $("notice").hidden = !notices.length;
  $("facts").textContent = translate("facts")(ms, answer.pairs, answer.model);
}
