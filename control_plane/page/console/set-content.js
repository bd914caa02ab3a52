// What a version of a label set says, apart from its name, number and time.

const FIELDS = ["hypothesis_template", "multi_label", "max_tokens", "threshold", "special_tokens"];
const EMPTY = { labels: [], hypothesis_template: "{}", multi_label: false, max_tokens: null, threshold: null, special_tokens: null, correction: null };

export const emptyContent = () => structuredClone(EMPTY);
export const contentOf = (set) => structuredClone(Object.fromEntries(Object.keys(EMPTY).map((name) => [name, set[name]])));
export const nameOf = (name, version) => `${name}@${version}`;

// What the model reads for each label.
export const hypotheses = (content) => content.labels.map(({ label, hypothesis }) => hypothesis || content.hypothesis_template.replace("{}", () => label));

// A correction is for these labels in this order, with these hypotheses, scored in this way.
export const keepsCorrection = (content, base) => Boolean(base.correction) && content.multi_label === base.multi_label
  && JSON.stringify([content.labels.map(({ label }) => label), hypotheses(content)]) === JSON.stringify([base.labels.map(({ label }) => label), hypotheses(base)]);

export const isSame = (first, second) => JSON.stringify(comparable(first)) === JSON.stringify(comparable(second));
const comparable = (content) => [content.labels.map(({ label, hypothesis }) => [label, hypothesis || null]), FIELDS.map((name) => content[name]), content.correction];

// The body that stores it. `base`: the content of the version that it replaces, or null.
export function bodyOf(content, base) {
  const labels = content.labels.filter(({ label }) => label.trim()).map(({ label, hypothesis }) => ({ label, hypothesis: hypothesis || null }));
  const whole = { ...content, labels };
  return { ...whole, correction: base && keepsCorrection(whole, base) ? base.correction : null };
}

export { FIELDS };
