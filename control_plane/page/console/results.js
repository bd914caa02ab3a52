// What a draft changes: numbers, the texts side by side, labels that are hard to tell apart, and the threshold.

import { findings } from "../advice.js";
import { inert, write } from "../csv.js";
import { translate } from "../page.js";
import { lineChart } from "./chart.js";
import { actions, button, element, facts, field, paragraph, save, section, select } from "./dom.js";
import { accuracy, compared, curve } from "./figures.js";
import { keepInAddress } from "./router.js";
import { table } from "./table.js";
import { number, say, share } from "./words.js";

const STEPS = 100, ROWS_OF_TABLE = 10, MAX_PAIRS_SHOWN = 5;

export const noResults = (why) => section(say("result"), paragraph(say(why), "notice"));

// `sides`: { samples, before, after, unanswered }, where `before` and `after` are { answers, labels, threshold, isMulti }
// with an answer for each sample, and `unanswered` more texts lack one.
export function drawResults(view, set, sides, setThreshold) {
  const { samples, before, after } = sides;
  const summary = element("div"), rows = element("div");
  const draw = () => {
    summary.replaceChildren(facts(numbersOf(sides)));
    rows.replaceChildren(rowTable(view, samples, before, after));
  };
  draw();
  const download = button(say("downloadComparison"), () => save(`${set.name}.csv`, "text/csv", comparisonCsv(samples, before, after)), "second");
  const threshold = thresholdSection(samples, after, (value, isDone) => {
    setThreshold(value, isDone);
    draw();
  });
  const filter = select([["", say("allRows")], ["flips", say("onlyFlips")], ["wrong", say("onlyWrong")]], view.route.params.rows ?? "", (event) => {
    view.route.params.rows = event.target.value;
    keepInAddress(view.route, { rows: event.target.value });
    draw();
  });
  return [section(say("result"), summary), threshold, adviceSection(samples, after), section(say("texts"), element("div", { class: "grid" }, field(say("showRows"), filter)), rows, actions(download))];
}

export function numbersOf({ samples, before, after, unanswered }) {
  const all = compared(samples, before, after), nones = (side) => number(all.filter((row) => row[side] === "").length);
  const right = ({ answers, labels }) => {
    const { right: count, labelled } = accuracy(samples, answers, labels);
    return labelled ? `${share(count / labelled)} (${number(count)}/${number(labelled)})` : say("notYet");
  };
  const refused = all.filter(({ draft }) => draft === null).length;
  return [
    [say("texts"), number(samples.length)], [say("flips"), number(all.filter(({ isFlip }) => isFlip).length)],
    [say("accuracyToday"), right(before)], [say("accuracyDraft"), right(after)], [say("noneToday"), nones("today")], [say("noneDraft"), nones("draft")],
    ...(refused ? [[say("refused"), number(refused)]] : []), ...(unanswered ? [[say("unanswered"), number(unanswered)]] : []),
  ];
}

const label = (name, answer) => (name === null ? (answer?.error ?? "—") : name === "" ? say("noneOfThese") : `${name} ${share(Math.max(...answer.scores))}`);

function rowTable(view, samples, before, after) {
  const { rows: filter } = view.route.params, hasTruth = samples.some(({ truth }) => truth !== null);
  const shown = compared(samples, before, after).filter((row) => (filter === "flips" ? row.isFlip : filter === "wrong" ? row.isWrong : true));
  const columns = [
    { title: say("text"), cell: (row) => row.sample.text },
    ...(hasTruth ? [{ title: say("truth"), cell: (row) => (row.sample.truth === "" ? say("noneOfThese") : row.sample.truth ?? "—") }] : []),
    { title: say("today"), cell: (row) => label(row.today, before.answers[row.number - 1]) },
    { title: say("draft"), cell: (row) => label(row.draft, after.answers[row.number - 1]), className: (row) => (row.isFlip ? "changed" : "") },
  ];
  return table(say("texts"), columns, shown);
}

function comparisonCsv(samples, before, after) {
  const rows = compared(samples, before, after).map((row) => [row.sample.text, row.sample.truth ?? "", row.today ?? "", row.draft ?? "", row.isFlip ? 1 : 0]);
  return write([["text", "label", "today", "draft", "changed"], ...rows.map((cells) => cells.map((cell) => (typeof cell === "string" ? inert(cell) : cell)))]);
}

// Labels that are scored one by one do not compete.
function adviceSection(samples, { answers, labels, isMulti }) {
  const rows = answers.filter((answer) => answer?.scores).map(({ scores }) => scores);
  const { dominant, confusable } = isMulti || labels.length < 2 ? { dominant: [], confusable: [] } : findings(labels, rows);
  const told = [
    ...dominant.map((found) => translate("dominant")(found.label, found.first, rows.length)),
    ...confusable.slice(0, MAX_PAIRS_SHOWN).map((found) => translate("confusable")(...found.labels, found.close, found.texts)),
  ];
  return section(say("advice"), told.length ? told.map((text) => paragraph(text, "notice")) : paragraph(say("noAdvice")));
}

// The slider moves over the curve; a threshold is set when it is let go.
function thresholdSection(samples, after, setThreshold) {
  const points = curve(samples, after.answers, after.labels, Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS));
  const lines = [1, 2].map((column) => points.filter((point) => point[column] !== null).map((point) => [point[0], point[column]]));
  const chart = element("div"), told = element("output"), percent = (part) => (part === null ? "—" : share(part));
  const draw = (value) => {
    const [, coverage, right] = points[Math.round(value * STEPS)];
    told.textContent = say("atThreshold", value, percent(coverage), percent(right));
    chart.replaceChildren(lineChart(say("curve"), lines, value, percent));
  };
  const valueOf = (event) => Number(event.target.value);
  const slider = element("input", {
    type: "range", min: 0, max: 1 - 1 / STEPS, step: 1 / STEPS, value: after.threshold ?? 0,
    oninput: (event) => (draw(valueOf(event)), setThreshold(valueOf(event) || null, false)),
    onchange: (event) => setThreshold(valueOf(event) || null, true),
  });
  // The editor's field takes any number; the service refuses those beyond the bounds.
  draw(Math.min(Math.max(after.threshold ?? 0, 0), 1));
  const columns = [
    { title: say("threshold"), cell: ([value]) => value }, { title: say("coverage"), isNumber: true, cell: (point) => percent(point[1]) },
    { title: say("accuracy"), isNumber: true, cell: (point) => percent(point[2]) },
  ];
  return section(say("thresholdTitle"), field(say("thresholdSlider"), slider, say("coverageHint")), told, chart,
    element("p", { class: "actions" }, element("span", { class: "legend" }, say("coverage")), element("span", { class: "legend second" }, say("accuracy"))),
    element("details", {}, element("summary", {}, say("curve")), table(say("curve"), columns, points.filter((_, index) => index % (STEPS / ROWS_OF_TABLE) === 0))));
}
