// The numbers of a version: what it answered to sample texts before it was saved.

import { accuracy, compared } from "./figures.js";
import { number, say, share, time } from "./words.js";

// As a version has them. `sides`: see results.js; `version`: the one whose answers are `before`; `at`: in ISO 8601.
export function evaluationOf({ samples, before, after }, version, at) {
  const rows = compared(samples, before, after), { right, labelled } = accuracy(samples, after.answers, after.labels);
  const engines = [...new Set(after.answers.map(({ engine }) => engine).filter(Boolean))];
  return {
    evaluated_at: at, model_version: engines.length === 1 ? engines[0] : null, texts: samples.length, labelled, correct: right,
    none_of_these: rows.filter(({ draft }) => draft === "").length, compared_with: version, changed: rows.filter(({ isFlip }) => isFlip).length,
  };
}

export const accuracyOf = (evaluation) => (evaluation?.labelled
  ? `${share(evaluation.correct / evaluation.labelled)} (${number(evaluation.correct)}/${number(evaluation.labelled)})` : "—");
export const changedOf = (evaluation) => (evaluation && evaluation.changed !== null ? `${number(evaluation.changed)}/${number(evaluation.texts)}` : "—");

// Pairs of a name and a value; none where nobody has counted.
export function numbersOfVersion(evaluation) {
  if (!evaluation) return [];
  return [
    [say("texts"), number(evaluation.texts)],
    [say("accuracy"), accuracyOf(evaluation) + (evaluation.in_sample ? ` ${say("inSample")}` : "")],
    [say("noneAnswers"), number(evaluation.none_of_these)],
    [say("comparedWith"), evaluation.compared_with === null ? "—" : String(evaluation.compared_with)], [say("flips"), changedOf(evaluation)],
    [say("engine"), evaluation.model_version ?? "—"], [say("evaluatedAt"), time(evaluation.evaluated_at)],
  ];
}
