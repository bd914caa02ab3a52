// A label set's correction, applied to answers that were asked for without it, as gateway/classification/scoring.py
// applies it to logits: a request carries none.

const SMALLEST = 1e-300, NEAREST_TO_ONE = 1 - 1e-12;

// `answer`: see figures.js. `isOneByOne`: the labels do not compete.
export function corrected(answer, { biases, temperature, map }, isOneByOne) {
  // Up to a constant of the text, which changes no score.
  const logits = answer.scores.map(isOneByOne ? logit : (score) => Math.log(Math.max(score, SMALLEST)));
  const mean = isOneByOne ? 0 : sum(logits) / logits.length, offsets = logits.map((value) => value - mean);
  const changed = offsets.map((offset, label) => mean + offset / temperature + biases[label] + (map ? sum(map[label].map((weight, other) => weight * offsets[other])) : 0));
  const own = answer.own.map((probability, label) => sigmoid(logit(probability) + changed[label] - logits[label]));
  return { ...answer, scores: isOneByOne ? changed.map(sigmoid) : softmax(changed), own };
}

function logit(probability) {
  const bounded = Math.min(Math.max(probability, 1 - NEAREST_TO_ONE), NEAREST_TO_ONE);
  return Math.log(bounded / (1 - bounded));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const sigmoid = (value) => 1 / (1 + Math.exp(-value));

function softmax(logits) {
  const largest = Math.max(...logits), odds = logits.map((value) => Math.exp(value - largest)), total = sum(odds);
  return odds.map((value) => value / total);
}
