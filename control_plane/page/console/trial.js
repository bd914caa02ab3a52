// Sample texts are classified with a version of a label set, or with a draft of one: some at a time, waiting as the
// service says.

import { askForAll, patiently, request } from "../requests.js";
import { corrected } from "./correction.js";
import { hypotheses } from "./set-content.js";

const TEXTS_PER_CALL = 16, PAIRS_PER_CALL = 256, CALLS_AT_ONCE = 2;

// What the answers depend on; the threshold is applied to them afterwards.
export const scoringKey = (content) => JSON.stringify([content.labels.map(({ label }) => label), hypotheses(content), content.multi_label, content.max_tokens, content.special_tokens, content.correction]);

// A draft is asked by its hypotheses as labels, since a request has no other place for them.
function questionOf(content, reference) {
  if (reference) return { label_set: reference };
  const given = { max_tokens: content.max_tokens ?? undefined, special_tokens: content.special_tokens ?? undefined };
  return { labels: hypotheses(content), hypothesis_template: "{}", multi_label: content.multi_label, ...given };
}

// Fills what `answers` lacks, in the order of the texts, see figures.js; a text that met an error of the service (5xx)
// stays without an answer. `reference`: a stored version; null: the content itself. `progress` hears of each text that
// is done, `waiting` for how many seconds nothing happens, and of the error that is the cause.
export async function classifySamples(texts, answers, content, reference, { signal, progress, waiting }) {
  const question = questionOf(content, reference), names = reference ? content.labels.map(({ label }) => label) : question.labels;
  const rows = texts.map((text, index) => ({ text, index })).filter(({ index }) => !answers[index]), parts = [];
  const size = Math.max(1, Math.min(TEXTS_PER_CALL, Math.floor(PAIRS_PER_CALL / names.length)));
  for (let start = 0; start < rows.length; start += size) parts.push(rows.slice(start, start + size));
  const settle = (row, answer) => {
    answers[row.index] = answer;
    progress();
  };
  const ask = async (some) => {
    const answer = await patiently(() => request("POST", "/v1/classify", { texts: some, ...question, entailment: true }, {}, signal), waiting, signal);
    return answer.results.map((result) => ({ ...result, engine: answer.model_version }));
  };
  // A stored version is answered with its own.
  const correction = reference ? null : content.correction, isOneByOne = content.multi_label || names.length === 1;
  const answered = (result) => (correction ? corrected(ordered(result, names), correction, isOneByOne) : ordered(result, names));
  const stop = new AbortController();
  const work = async () => {
    while (parts.length && !stop.signal.aborted) await askForAll(parts.shift(), ask, (row, result) => settle(row, answered(result)), (row, why, error) => settle(row, error?.status >= 500 ? null : { error: why }));
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, () => work().catch((error) => (stop.abort(), Promise.reject(error)))));
}

function ordered(result, names) {
  const at = new Map(result.labels.map((label, index) => [label, index]));
  return { scores: names.map((name) => result.scores[at.get(name)]), own: names.map((name) => result.entailment[at.get(name)]), engine: result.engine };
}
