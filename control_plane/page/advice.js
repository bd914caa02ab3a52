// What the answers so far say about the labels: which are hard to tell apart, and which one takes most of the texts.
// The tests are those of wanneng/advice/figures.py, where they are explained.

import { $, state, translate } from "./page.js";

const CLOSE = 0.5, CONFUSABLE_SHARE = 0.25, FAIR_SHARES = 2, MAX_SHARE = 0.9, SIGNIFICANCE = 0.05;
const MAX_ANSWERS = 1000, MAX_PAIRS_SHOWN = 2;
// The scores in the order of the sorted labels, by what was asked and the text. Gone with the tab.
const answers = new Map();
const sorted = (labels) => [...labels].sort();
const keyOf = (template, labels) => `${JSON.stringify([template ?? "", ...sorted(labels)])}\n`;

// `asked`: the fields of the request. Labels that are scored one by one do not compete.
export function keepAnswer(text, answer, asked) {
  const scores = sorted(asked.labels).map((label) => answer.scores[answer.labels.indexOf(label)]);
  if (asked.multi_label) return;
  answers.set(keyOf(asked.hypothesis_template, asked.labels) + text, scores);
  if (answers.size > MAX_ANSWERS) answers.delete(answers.keys().next().value);
}

export function drawAdvice() {
  const key = keyOf($("template").value, state.labels);
  const rows = $("multi").checked ? [] : [...answers].filter(([about]) => about.startsWith(key)).map(([, scores]) => scores);
  const { dominant, confusable } = findings(sorted(state.labels), rows);
  const told = [
    ...dominant.map((found) => translate("dominant")(found.label, found.first, rows.length)),
    ...confusable.slice(0, MAX_PAIRS_SHOWN).map((found) => translate("confusable")(...found.labels, found.close, found.texts)),
  ];
  $("advice").textContent = told.join(" ");
  $("advice").hidden = !told.length;
}

// `rows`: for each text the scores of `labels`, in their order.
export function findings(labels, rows) {
  const firsts = labels.map(() => 0), close = new Map();
  for (const scores of rows) {
    const best = scores.indexOf(Math.max(...scores));
    firsts[best] += 1;
    scores.forEach((score, other) => {
      const pair = `${Math.min(best, other)} ${Math.max(best, other)}`;
      if (other !== best && score >= CLOSE * scores[best]) close.set(pair, (close.get(pair) ?? 0) + 1);
    });
  }
  const limit = Math.min(FAIR_SHARES / labels.length, MAX_SHARE);
  const takers = labels.map((label, index) => ({ label, first: firsts[index], p: tail(firsts[index], rows.length, limit) }));
  const pairs = labels.flatMap((first, a) => labels.slice(a + 1).map((second, after) => {
    const b = a + 1 + after, texts = firsts[a] + firsts[b], count = close.get(`${a} ${b}`) ?? 0;
    return { labels: [first, second], close: count, texts, p: tail(count, texts, CONFUSABLE_SHARE) };
  })).filter((pair) => pair.texts);
  return { dominant: beyondChance(takers), confusable: beyondChance(pairs) };
}

// Holm's correction; the surest first.
function beyondChance(tested) {
  const surest = [...tested].sort((a, b) => a.p - b.p);
  const chance = surest.findIndex(({ p }, rank) => (surest.length - rank) * p >= SIGNIFICANCE);
  return chance < 0 ? surest : surest.slice(0, chance);
}

// The probability of at least `count` of `total` where each has the probability `share`; 1 if no more were expected.
function tail(count, total, share) {
  if (count <= share * total) return 1;
  let log = total * Math.log(1 - share), sum = 0;
  for (let n = 0; n <= total; n += 1) {
    if (n >= count) sum += Math.exp(log);
    log += Math.log((total - n) / (n + 1)) + Math.log(share / (1 - share));
  }
  return sum;
}
