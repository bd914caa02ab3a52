// The page: asks the gateway that served it, and nobody else. No build step, no dependency.

// What the page says, in its two languages.
const WORDS = {
  zh: {
    skip: "跳到输入", docs: "接口文档", key: "密钥", keyHint: "租户密钥，只保存在本标签页", other: "English",
    ask: "任意文本，任意标签", presets: "试试：", text: "文本", labels: "标签",
    labelHint: "用逗号（, 或 ，）或回车分隔", more: "更多选项", template: "假设模板（{} 处是标签）",
    threshold: "阈值：低于它就不属于任何标签", multi: "每个标签单独打分", sets: "我的标签集",
    setName: "保存为（小写字母、数字、- 和 _）", save: "保存标签集", go: "分类", shortcut: "Ctrl + Enter",
    result: "结果", many: "批量", lines: "每行一条文本", linesHint: "也可以把 .txt 或 .csv 文件拖到这里（取第一列）",
    run: "全部分类", file: "打开文件", stop: "停止", filter: "筛选", best: "最佳标签", score: "得分",
    history: "历史（只在本浏览器）", forget: "清空历史", remove: "移除标签", choose: "选择…",
    counter: (n, most) => `${n} / ${most} 个词元`, cut: (t, l) => `超出上限：文本将截去 ${t} 个，标签将截去 ${l} 个`,
    wasCut: (c) => `超出 ${c.max_tokens} 个词元的上限：文本截去了 ${c.text_tokens} 个，标签截去了 ${c.label_tokens} 个。`,
    none: "不属于其中任何一个：没有标签达到阈值。",
    facts: (ms, p, model) => `${ms} 毫秒 · 计算 ${p.computed} 对，缓存 ${p.cached} 对 · ${model}`,
    progress: (n, all) => `${n} / ${all}`, saved: (name) => `已保存为 ${name}`,
    needText: "请先输入文本。", needLabels: "请至少输入一个标签。", needName: "请给标签集起个名字。",
    unreachable: "连不上服务，请稍后再试。", failed: "失败", refused: "服务没有说明原因",
    codes: { unauthorized: "需要有效的密钥：请在右上角“密钥”处填写。", quota_exceeded: "配额已用完，请稍后再试。",
      overloaded: "服务正忙，请稍后再试。", triton_unavailable: "分类器还没有就绪，请稍后再试。",
      deadline_exceeded: "没有及时得到答案，请减少内容再试。", precondition_failed: "别人刚改过这个标签集，请重新载入后再保存。" },
  },
  en: {
    skip: "Skip to the text", docs: "API", key: "Key", keyHint: "Your tenant's key; kept in this tab only", other: "中文",
    ask: "Any text, any labels", presets: "Try:", text: "Text", labels: "Labels",
    labelHint: "Separate with a comma (, or ，) or Enter", more: "More options", template: "Hypothesis template ({} is the label)",
    threshold: "Threshold, below it: none of these", multi: "Score each label by itself", sets: "My label sets",
    setName: "Save as (a-z, 0-9, - and _)", save: "Save label set", go: "Classify", shortcut: "Ctrl + Enter",
    result: "Result", many: "Many texts", lines: "One text a line", linesHint: "Or drop a .txt or .csv file here (its first column)",
    run: "Classify all", file: "Open a file", stop: "Stop", filter: "Filter", best: "Best label", score: "Score",
    history: "History (in this browser only)", forget: "Clear history", remove: "Remove label", choose: "Choose…",
    counter: (n, most) => `${n} of ${most} tokens`, cut: (t, l) => `beyond the limit: ${t} of the text will be cut, ${l} of a label`,
    wasCut: (c) => `Longer than ${c.max_tokens} tokens: ${c.text_tokens} were cut from the text, ${c.label_tokens} from a label.`,
    none: "None of these: no label reaches the threshold.",
    facts: (ms, p, model) => `${ms} ms · ${p.computed} pairs computed, ${p.cached} cached · ${model}`,
    progress: (n, all) => `${n} of ${all}`, saved: (name) => `Saved as ${name}`,
    needText: "Enter a text first.", needLabels: "Enter at least one label.", needName: "Give the label set a name.",
    unreachable: "The service cannot be reached; try again soon.", failed: "failed", refused: "The service gave no reason",
    codes: { unauthorized: "A valid key is needed: enter it under “Key” at the top." },
  },
};

const PRESETS = [
  { zh: "投诉/咨询/建议", en: "Complaint or question", text: "这个手机质量太差，要求退款", labels: ["投诉", "咨询", "建议"] },
  { zh: "正面/负面/中性", en: "Sentiment", text: "房间很干净，早餐也好吃，下次还来", labels: ["正面", "负面", "中性"] },
  { zh: "新闻频道", en: "News channel", text: "国足昨晚在主场以二比一战胜对手", labels: ["体育", "财经", "科技", "娱乐", "教育", "房产"] },
  { zh: "购买意图", en: "Intent to buy", text: "请问这款还有货吗？能便宜一点吗", labels: ["想购买", "想退货", "随便看看"] },
];

const TEXTS_PER_CALL = 16, HISTORY = 20, COUNT_AFTER_MS = 300;
const $ = (id) => document.getElementById(id);
const state = { language: "zh", labels: [], rows: [], sort: { by: "number", down: false }, version: null, running: null };

// --- language -------------------------------------------------------------------------------------------------
const say = (name) => WORDS[state.language][name];
function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  $("language").textContent = say("other");
  $("presets").replaceChildren(...PRESETS.map((preset) => button(preset[language], () => usePreset(preset))));
  $("set").options.length || listSets();
  if ($("set").options[0]) $("set").options[0].text = say("choose");
  drawChips();
  drawHistory();
}

function button(text, act, kind = "") {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.className = kind;
  made.addEventListener("click", act);
  return made;
}

// --- the gateway ----------------------------------------------------------------------------------------------
class Refusal extends Error {}

async function ask(method, path, body, headers = {}, signal = undefined) {
  const key = sessionStorage.getItem("key");
  const all = { ...(body ? { "Content-Type": "application/json" } : {}), ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers };
  let response;
  try {
    response = await fetch(path, { method, headers: all, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(say("unreachable"));
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const refusal = new Refusal(say("codes")[answer.code] || answer.detail || say("refused"));
  refusal.status = response.status;
  refusal.wait = Number(response.headers.get("Retry-After"));
  throw refusal;
}

function show(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// --- the question ---------------------------------------------------------------------------------------------
function addLabels(given) {
  for (const label of given.split(/[,，\n]/).map((part) => part.trim())) {
    if (label && !state.labels.includes(label)) state.labels.push(label);
  }
  drawChips();
}

function drawChips() {
  $("chosen").replaceChildren(...state.labels.map((label) => {
    const item = document.createElement("li");
    const chip = button(`${label} ×`, () => {
      state.labels = state.labels.filter((other) => other !== label);
      drawChips();
      $("label").focus();
    });
    chip.setAttribute("aria-label", `${say("remove")} ${label}`);
    item.append(chip);
    return item;
  }));
  countSoon();
}

function options() {
  addLabels($("label").value);
  $("label").value = "";
  if (!state.labels.length) throw new Refusal(say("needLabels"));
  return { labels: state.labels, hypothesis_template: $("template").value || "{}", multi_label: $("multi").checked, entailment: true };
}

function usePreset(preset) {
  $("text").value = preset.text;
  state.labels = [...preset.labels];
  drawChips();
  $("form").requestSubmit();
}

let counting;
function countSoon() {
  clearTimeout(counting);
  counting = setTimeout(count, COUNT_AFTER_MS);
}

async function count() {
  const text = $("text").value;
  if (!text.trim()) return void ($("counter").textContent = "");
  const body = { text, hypothesis_template: $("template").value || "{}" };
  if (state.labels.length) body.labels = state.labels;
  try {
    const counted = await ask("POST", "/v1/tokenize", body);
    const longest = (name) => Math.max(0, ...counted.labels.map((label) => label[name]));
    const cut = counted.truncated ? ` · ${say("cut")(longest("text_cut"), longest("label_cut"))}` : "";
    $("counter").textContent = say("counter")(Math.max(counted.text_tokens, longest("tokens")), counted.max_tokens) + cut;
  } catch {
    $("counter").textContent = "";
  }
}

async function classify(event) {
  event.preventDefault();
  show(null);
  $("go").disabled = true;
  try {
    const text = $("text").value;
    if (!text.trim()) throw new Refusal(say("needText"));
    const began = performance.now();
    const answer = await ask("POST", "/v1/classify", { text, ...options() });
    drawResult(answer, Math.round(performance.now() - began));
    remember({ text, labels: [...state.labels], best: answer.labels[0], score: answer.scores[0] });
  } catch (error) {
    $("result").hidden = true;
    show(error);
  } finally {
    $("go").disabled = false;
  }
}

// --- the answer -----------------------------------------------------------------------------------------------
const percent = (score) => `${(100 * score).toFixed(1)}%`;

function noneOf(answer) {
  const threshold = Number($("threshold").value);
  return threshold > 0 && Math.max(...answer.entailment) < threshold;
}

function drawResult(answer, ms) {
  $("result").hidden = false;
  const none = noneOf(answer);
  $("bars").className = none ? "none" : "";
  $("bars").replaceChildren(...answer.labels.map((label, place) => {
    const item = document.createElement("li");
    const [name, track, fill, score] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    name.className = "name";
    name.textContent = label;
    track.className = "track";
    track.setAttribute("aria-hidden", "true");
    fill.className = "fill";
    fill.style.display = "block";
    requestAnimationFrame(() => (fill.style.width = percent(answer.scores[place])));
    track.append(fill);
    score.className = "score";
    score.textContent = percent(answer.scores[place]);
    item.append(name, track, score);
    return item;
  }));
  const notices = [none && say("none"), answer.truncated && say("wasCut")(answer.cut)].filter(Boolean);
  $("notice").textContent = notices.join(" ");
  $("notice").hidden = !notices.length;
  $("facts").textContent = say("facts")(ms, answer.pairs, answer.model);
  $("resultName").focus({ preventScroll: true });
}

// --- label sets -----------------------------------------------------------------------------------------------
async function listSets() {
  try {
    const { label_sets: sets } = await ask("GET", "/v1/label-sets");
    const names = [["", say("choose")], ...sets.map((set) => [set.name, `${set.name} @${set.version}`])];
    $("set").replaceChildren(...names.map(([value, text]) => new Option(text, value)));
  } catch {
    $("set").replaceChildren(new Option(say("choose"), ""));
  }
}

async function loadSet() {
  const name = $("set").value;
  if (!name) return;
  try {
    const set = await ask("GET", `/v1/label-sets/${name}`);
    state.labels = set.labels.map((one) => one.label);
    state.version = set.version;
    $("template").value = set.hypothesis_template;
    $("multi").checked = set.multi_label;
    $("threshold").value = set.threshold ?? "";
    $("setName").value = name;
    drawChips();
    show(null);
  } catch (error) {
    show(error);
  }
}

async function saveSet() {
  show(null);
  try {
    const name = $("setName").value.trim();
    if (!name || !$("setName").checkValidity()) throw new Refusal(say("needName"));
    const { labels, hypothesis_template, multi_label } = options();
    const threshold = Number($("threshold").value) || null;
    const known = name === $("set").value ? { "If-Match": `"${state.version}"` } : {};
    const made = await ask("PUT", `/v1/label-sets/${name}`, { labels, hypothesis_template, multi_label, threshold }, known);
    state.version = made.version;
    await listSets();
    $("set").value = name;
    $("counter").textContent = say("saved")(`${made.name}@${made.version}`);
  } catch (error) {
    show(error);
  }
}

// --- many texts -----------------------------------------------------------------------------------------------
function firstColumn(line) {
  const quoted = line.match(/^"((?:[^"]|"")*)"/);
  return quoted ? quoted[1].replaceAll('""', '"') : line.split(",")[0];
}

async function takeFile(file) {
  if (!file) return;
  const lines = (await file.text()).replace(/^\ufeff/, "").split(/\r?\n/);
  $("lines").value = (file.name.endsWith(".csv") ? lines.map(firstColumn) : lines).filter((line) => line.trim()).join("\n");
}

async function classifyAll() {
  show(null);
  const texts = $("lines").value.split("\n").filter((line) => line.trim());
  let wanted;
  try {
    if (!texts.length) throw new Refusal(say("needText"));
    wanted = options();
  } catch (error) {
    return show(error);
  }
  state.rows = [];
  state.running = new AbortController();
  $("run").disabled = true;
  $("stop").hidden = $("progressLine").hidden = $("tableArea").hidden = false;
  try {
    for (let start = 0; start < texts.length; start += TEXTS_PER_CALL) {
      drawProgress(start, texts.length);
      await classifySome(texts.slice(start, start + TEXTS_PER_CALL), start, wanted);
      drawTable();
    }
    drawProgress(texts.length, texts.length);
  } catch (error) {
    if (error.name !== "AbortError") show(error);
  } finally {
    $("run").disabled = false;
    $("stop").hidden = true;
  }
}

async function classifySome(texts, start, wanted) {
  const { signal } = state.running;
  try {
    const { results } = await ask("POST", "/v1/classify", { texts, ...wanted }, {}, signal);
    results.forEach((result, place) => state.rows.push(row(start + place + 1, texts[place], result)));
  } catch (error) {
    if (error.wait > 0 && error.wait <= 60) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.wait));
      if (!signal.aborted) return classifySome(texts, start, wanted);
    }
    if (texts.length === 1 && error.status === 422) {
      state.rows.push({ number: start + 1, text: texts[0], label: `${say("failed")}: ${error.message}`, score: 0 });
    } else if (error.status === 422) {
      // One of them cannot be answered; the others can.
      for (let place = 0; place < texts.length; place++) await classifySome([texts[place]], start + place, wanted);
    } else {
      throw error;
    }
  }
}

const row = (number, text, result) => ({ number, text, label: noneOf(result) ? "—" : result.labels[0], score: result.scores[0], labels: result.labels, scores: result.scores });

function drawProgress(done, all) {
  $("progress").max = all;
  $("progress").value = done;
  $("progressText").textContent = say("progress")(done, all);
}

function shownRows() {
  const wanted = $("filter").value.trim().toLowerCase();
  const { by, down } = state.sort;
  const order = (a, b) => (typeof a[by] === "number" ? a[by] - b[by] : a[by].localeCompare(b[by], "zh"));
  const found = state.rows.filter((one) => !wanted || `${one.text}\n${one.label}`.toLowerCase().includes(wanted));
  return found.sort((a, b) => (down ? order(b, a) : order(a, b)));
}

function drawTable() {
  $("table").tBodies[0].replaceChildren(...shownRows().map((one) => {
    const line = document.createElement("tr");
    for (const value of [one.number, one.text, one.label, percent(one.score)]) line.insertCell().textContent = value;
    return line;
  }));
  for (const sorter of document.querySelectorAll("[data-sort]")) {
    const here = sorter.dataset.sort === state.sort.by;
    sorter.parentElement.setAttribute("aria-sort", here ? (state.sort.down ? "descending" : "ascending") : "none");
  }
}

function sortBy(by) {
  state.sort = { by, down: state.sort.by === by && !state.sort.down };
  drawTable();
}

function download(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// A spreadsheet would run a cell that begins like a formula.
const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
const asCsv = (rows) => "\ufeff" + ["text,label,score", ...rows.map((r) => `${cell(r.text)},${cell(r.label)},${r.score}`)].join("\r\n");
const asJsonl = (rows) => rows.map(({ text, labels, scores }) => JSON.stringify({ text, labels, scores })).join("\n") + "\n";

// --- history --------------------------------------------------------------------------------------------------
const past = () => JSON.parse(localStorage.getItem("history") || "[]");

function remember(one) {
  const others = past().filter((other) => other.text !== one.text || other.labels.join() !== one.labels.join());
  localStorage.setItem("history", JSON.stringify([one, ...others].slice(0, HISTORY)));
  drawHistory();
}

function drawHistory() {
  $("pastArea").hidden = !past().length;
  $("history").replaceChildren(...past().map((one) => {
    const item = document.createElement("li");
    item.append(button(`${one.text.slice(0, 60)} → ${one.best} ${percent(one.score)}`, () => {
      $("text").value = one.text;
      state.labels = one.labels;
      drawChips();
      $("form").requestSubmit();
    }, "plain"));
    return item;
  }));
}

// --- wiring ---------------------------------------------------------------------------------------------------
function start() {
  $("form").addEventListener("submit", classify);
  $("language").addEventListener("click", () => {
    setLanguage(state.language === "zh" ? "en" : "zh");
    localStorage.setItem("language", state.language);
  });
  $("key").value = sessionStorage.getItem("key") || "";
  $("key").addEventListener("change", () => {
    sessionStorage.setItem("key", $("key").value.trim());
    listSets();
    countSoon();
  });
  for (const id of ["text", "template"]) $(id).addEventListener("input", countSoon);
  $("label").addEventListener("input", () => {
    if (/[,，]/.test($("label").value)) {
      addLabels($("label").value);
      $("label").value = "";
    }
  });
  $("label").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && $("label").value.trim() && !event.isComposing) {
      event.preventDefault();
      addLabels($("label").value);
      $("label").value = "";
    } else if (event.key === "Backspace" && !$("label").value) {
      state.labels.pop();
      drawChips();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("set").addEventListener("change", loadSet);
  $("save").addEventListener("click", saveSet);
  $("run").addEventListener("click", classifyAll);
  $("stop").addEventListener("click", () => state.running.abort());
  $("file").addEventListener("change", () => takeFile($("file").files[0]));
  for (const [name, act] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    $("lines").addEventListener(name, (event) => {
      event.preventDefault();
      $("lines").classList.toggle("dropping", act);
      if (name === "drop") takeFile(event.dataTransfer.files[0]);
    });
  }
  $("filter").addEventListener("input", drawTable);
  for (const sorter of document.querySelectorAll("[data-sort]")) sorter.addEventListener("click", () => sortBy(sorter.dataset.sort));
  $("csv").addEventListener("click", () => download("wanneng.csv", "text/csv", asCsv(shownRows())));
  $("jsonl").addEventListener("click", () => download("wanneng.jsonl", "application/jsonl", asJsonl(shownRows())));
  $("forget").addEventListener("click", () => {
    localStorage.removeItem("history");
    drawHistory();
  });
  const wanted = localStorage.getItem("language") || navigator.language;
  setLanguage(wanted.startsWith("zh") ? "zh" : "en");
}

start();
