// The workbench: the reader's own texts with today's version of a label set and with its draft, side by side.

import { whyWaiting } from "../requests.js";
import { all, get } from "./api.js";
import { actions, button, element, link, paragraph, section } from "./dom.js";
import { dialog } from "./dialog.js";
import { draft, keepDraft } from "./drafts.js";
import { draftNotice, draftOf, keepSetDraft, saveDraft } from "./label-set.js";
import { drawResults, noResults, numbersOf } from "./results.js";
import { addressOf } from "./router.js";
import { keptSamples, samplesSection } from "./samples.js";
import { bodyOf, contentOf, isSame, nameOf } from "./set-content.js";
import { setEditor } from "./set-editor.js";
import { evaluationOf } from "./set-evaluation.js";
import { table } from "./table.js";
import { classifySamples, scoringKey } from "./trial.js";
import { say } from "./words.js";

const ANSWERS = "answers";

// `#/workbench` chooses a label set, `#/workbench/tickets` works on it.
export async function show(view) {
  const [name] = view.route.path;
  if (!name) return chooseSet(view);
  const set = await get(`/v1/label-sets/${encodeURIComponent(name)}`, view.signal);
  view.title(say("workbenchOf", nameOf(set.name, set.version)));
  new Workbench(view, set).draw();
}

async function chooseSet(view) {
  const sets = await all("/v1/label-sets", "label_sets", view.signal);
  const columns = [
    { title: say("name"), cell: (set) => link(set.name, addressOf(["workbench", set.name])) },
    { title: say("version"), cell: (set) => nameOf(set.name, set.version) },
    { title: say("labels"), isNumber: true, cell: (set) => set.labels.length },
  ];
  view.root.append(section(say("chooseSet"), table(say("labelSets"), columns, sets)));
}

class Workbench {
  constructor(view, set) {
    Object.assign(this, { view, set, kept: draftOf(set), samples: keptSamples() });
    const stored = draft(ANSWERS);
    // By what they depend on.
    this.answers = stored && stored.samples === this.samples?.id ? stored.answers : {};
    // In ISO 8601, when the newest of them came.
    this.answeredAt = stored?.at ?? new Date().toISOString();
    this.results = element("div");
    this.editor = element("div");
    this.notice = element("div");
  }

  // Of the draft as it would be stored.
  get content() {
    return bodyOf(this.kept.content, contentOf(this.set));
  }

  draw() {
    const { view, set } = this, mayWrite = view.identity.scopes.includes("label_sets:write");
    this.drawEditor();
    this.progress = element("progress", { max: 1, value: 0, hidden: true, "aria-label": say("progress") });
    this.told = element("span", { role: "status" });
    this.stop = button(say("stop"), () => this.running.abort(), "second");
    this.stop.hidden = true;
    const run = button(say("runBoth"), view.act(() => this.run()));
    const save = mayWrite && button(say("saveVersion"), view.act(() => this.save()), "second");
    view.root.append(
      actions(link(nameOf(set.name, set.version), addressOf(["label-sets", set.name]))),
      samplesSection(view), this.notice,
      element("details", { open: true }, element("summary", {}, say("draftOf", nameOf(set.name, set.version))), this.editor),
      actions(run, this.stop, save, this.progress, this.told), this.results);
    this.drawResults();
  }

  drawEditor() {
    const { view, set, kept } = this;
    this.editor.replaceChildren(...setEditor(kept.content, contentOf(set), () => this.changed()));
    this.notice.replaceChildren(draftNotice(view, set, kept));
  }

  changed() {
    keepSetDraft(this.view, this.set, this.kept);
    this.notice.replaceChildren(draftNotice(this.view, this.set, this.kept));
    this.drawResults();
  }

  drawResults() {
    const today = contentOf(this.set), content = this.content, rows = this.samples?.rows ?? [];
    const given = [today, content].map((each) => this.answers[scoringKey(each)] ?? []);
    // Figures are of the texts that both sides have an answer to: those of other texts could not be compared.
    const common = rows.map((_, index) => index).filter((index) => given.every((answers) => answers[index]));
    const [before, after] = [today, content].map((each, side) => ({
      answers: common.map((index) => given[side][index]), labels: each.labels.map(({ label }) => label), threshold: each.threshold, isMulti: each.multi_label,
    }));
    this.compared = common.length ? { samples: common.map((index) => rows[index]), before, after, unanswered: rows.length - common.length } : null;
    const setThreshold = (value, isDone) => {
      this.kept.content.threshold = value;
      keepSetDraft(this.view, this.set, this.kept);
      after.threshold = value;
      if (isDone) this.drawEditor();
    };
    if (this.compared) this.results.replaceChildren(...drawResults(this.view, this.set, this.compared, setThreshold));
    else this.results.replaceChildren(given[0].some(Boolean) ? noResults("notRun") : "");
  }

  async run() {
    if (!this.samples) throw new Error(say("needSamples"));
    if (!this.content.labels.length) throw new Error(say("needLabel"));
    const texts = this.samples.rows.map(({ text }) => text), today = contentOf(this.set), { content } = this;
    const asked = [[today, nameOf(this.set.name, this.set.version)]];
    if (scoringKey(content) !== scoringKey(today)) asked.push([content, null]);
    // Filled as they come: what is there stays when the run is stopped or fails.
    const lists = asked.map(([each]) => (this.answers[scoringKey(each)] ??= texts.map(() => null)));
    const total = lists.flat().filter((answer) => !answer).length;
    this.running = new AbortController();
    this.view.signal.addEventListener("abort", () => this.running.abort(), { once: true });
    this.progress.hidden = this.stop.hidden = false;
    try {
      let done = 0;
      const progress = () => {
        this.progress.value = ++done / total;
        this.told.textContent = say("running", done, total);
      };
      const waiting = (seconds, error) => (this.told.textContent = say(whyWaiting(error), Math.ceil(seconds)));
      for (const [index, [each, reference]] of asked.entries()) {
        await classifySamples(texts, lists[index], each, reference, { signal: this.running.signal, progress, waiting });
      }
    } finally {
      if (total) this.answeredAt = new Date().toISOString();
      this.keepAnswers(asked.map(([each]) => scoringKey(each)));
      this.progress.hidden = this.stop.hidden = true;
      this.told.textContent = "";
      this.drawResults();
    }
  }

  // Those that are shown; the others are computed again.
  keepAnswers(keys) {
    this.answers = Object.fromEntries(keys.map((key) => [key, this.answers[key]]));
    if (!keepDraft(ANSWERS, { samples: this.samples.id, answers: this.answers, at: this.answeredAt })) this.view.tell(say("notKept"));
  }

  async save() {
    if (isSame(this.content, contentOf(this.set))) return this.view.tell(say("unchanged"));
    // Those that are shown; a draft that is changed after it was run has none.
    const told = this.compared ? numbersOf(this.compared).map(([name, value]) => paragraph(`${name}: ${value}`, "")) : [paragraph(say("noNumbers"))];
    const evaluation = this.compared && evaluationOf(this.compared, this.set.version, this.answeredAt);
    if (await dialog(say("saveTitle", this.set.name), told, say("save"))) await saveDraft(this.view, this.set, this.kept, evaluation);
  }
}
