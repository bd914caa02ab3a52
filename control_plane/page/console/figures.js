// What the answers to sample texts say. Accuracy and coverage are those of `wanneng evaluate`.
//
// An answer: { scores, own, engine }, of the labels in their order, where `own` is each label's own probability of
// entailment; or { error }. A sample: { text, truth }: a label, "" for none of them, null where nobody has said it.

// The index of the best label; -1: none reaches the threshold; null: refused.
export function outcome(answer, threshold) {
  if (!answer || answer.error) return null;
  if (threshold && Math.max(...answer.own) < threshold) return -1;
  return answer.scores.indexOf(Math.max(...answer.scores));
}

export const nameOf = (labels, index) => (index === null ? null : index < 0 ? "" : labels[index]);

// { right, labelled }: texts whose best label is theirs, of those that have one. A refused text is not right.
export function accuracy(samples, answers, labels) {
  const labelled = samples.map((sample, index) => [sample, answers[index]]).filter(([sample]) => sample.truth);
  return { right: labelled.filter(([sample, answer]) => nameOf(labels, outcome(answer, null)) === sample.truth).length, labelled: labelled.length };
}

// [threshold, coverage, accuracy of the covered or null], for each of `thresholds`.
export function curve(samples, answers, labels, thresholds) {
  const judged = answers.map((answer, index) => ({ best: nameOf(labels, outcome(answer, null)), own: answer?.own ? Math.max(...answer.own) : -1, truth: samples[index].truth }));
  return thresholds.map((threshold) => {
    const covered = judged.filter(({ own }) => own >= threshold), known = covered.filter(({ truth }) => truth !== null);
    return [threshold, judged.length ? covered.length / judged.length : 0, known.length ? known.filter(({ best, truth }) => best === truth).length / known.length : null];
  });
}

// For each text: { sample, today, draft, isFlip, isWrong }, with names of labels, "" for none and null where refused.
export function compared(samples, today, draft) {
  return samples.map((sample, index) => {
    const [before, after] = [today, draft].map(({ answers, labels, threshold }) => nameOf(labels, outcome(answers[index], threshold)));
    return { number: index + 1, sample, today: before, draft: after, isFlip: before !== after, isWrong: sample.truth !== null && after !== sample.truth };
  });
}
