// The page to try it: asks the gateway that served it, and no other host. No build step, no dependencies.

// The texts of the page, in its two languages.
const TEXTS = {
  zh: {
    skip: "跳到输入", docs: "接口文档", key: "密钥", keyHint: "租户密钥，只保存在本标签页", other: "English",
    ask: "任意文本，任意标签", presets: "试试：", text: "文本", labels: "标签",
    labelHint: "用逗号（, 或 ，）或回车分隔", more: "更多选项", template: "假设模板（{} 处是标签）",
    threshold: "阈值：低于它就不属于任何标签", multi: "每个标签单独打分", sets: "我的标签集",
    setName: "保存为（小写字母、数字、- 和 _）", save: "保存标签集", go: "分类", shortcut: "Ctrl + Enter",
    result: "结果", many: "批量", lines: "每行一条文本", linesHint: "也可以把 .txt 或 .csv 文件拖到这里（取第一列）",
    run: "全部分类", file: "打开文件", stop: "停止", filter: "筛选", best: "最佳标签", score: "得分",
    history: "历史（只在本浏览器）", forget: "清空历史", remove: "移除标签", choose: "选择…",
    counter: (n, max) => `${n} / ${max} 个词元`, cut: (t, l) => `超出上限：文本将截去 ${t} 个，标签将截去 ${l} 个`,
    wasCut: (c) => `超出 ${c.max_tokens} 个词元的上限：文本截去了 ${c.text_tokens} 个，标签截去了 ${c.label_tokens} 个。`,
    none: "不属于其中任何一个：没有标签达到阈值。",
    facts: (ms, p, model) => `${ms} 毫秒 · 计算 ${p.computed} 对，缓存 ${p.cached} 对 · ${model}`,
    progress: (n, all) => `${n} / ${all}`, saved: (name) => `已保存为 ${name}`,
    needText: "请先输入文本。", needLabels: "请至少输入一个标签。", needName: "请给标签集起个名字。",
    unreachable: "连不上服务，请稍后再试。", failed: "失败", refused: "服务没有说明原因。",
    codes: { unauthorized: "需要有效的密钥：请在右上角“密钥”处填写。", quota_exceeded: "配额已用完，请稍后再试。",
      overloaded: "服务正忙，请稍后再试。", triton_unavailable: "分类器还没有就绪，请稍后再试。",
      deadline_exceeded: "没有及时得到答案，请减少内容再试。", precondition_failed: "别人刚改过这个标签集，请重新载入后再保存。" },
  },
  en: {
    skip: "Skip to the text", docs: "API", key: "Key", keyHint: "Your tenant's key; kept in this tab only", other: "中文",
    ask: "Any text, any labels", presets: "Try:", text: "Text", labels: "Labels",
    labelHint: "Separate with a comma (, or ，) or Enter", more: "More options", template: "Hypothesis template ({} is the label)",
    threshold: "Threshold: below it, none of these", multi: "Score each label by itself", sets: "My label sets",
    setName: "Save as (a-z, 0-9, - and _)", save: "Save label set", go: "Classify", shortcut: "Ctrl + Enter",
    result: "Result", many: "Many texts", lines: "One text per line", linesHint: "Or drop a .txt or .csv file here (its first column)",
    run: "Classify all", file: "Open a file", stop: "Stop", filter: "Filter", best: "Best label", score: "Score",
    history: "History (in this browser only)", forget: "Clear history", remove: "Remove label", choose: "Choose…",
    counter: (n, max) => `${n} of ${max} tokens`, cut: (t, l) => `beyond the limit: ${t} of the text will be cut, ${l} of a label`,
    wasCut: (c) => `Longer than ${c.max_tokens} tokens: ${c.text_tokens} were cut from the text, ${c.label_tokens} from a label.`,
    none: "None of these: no label reaches the threshold.",
    facts: (ms, p, model) => `${ms} ms · ${p.computed} pairs computed, ${p.cached} cached · ${model}`,
    progress: (n, all) => `${n} of ${all}`, saved: (name) => `Saved as ${name}`,
    needText: "Enter a text first.", needLabels: "Enter at least one label.", needName: "Give the label set a name.",
    unreachable: "The service cannot be reached; try again soon.", failed: "failed", refused: "The service gave no reason.",
    codes: { unauthorized: "A valid key is needed; enter it under “Key” at the top." },
  },
};

const PRESETS = [
  { zh: "投诉/咨询/建议", en: "Complaint or question", text: "这个手机质量太差，要求退款", labels: ["投诉", "咨询", "建议"] },
  { zh: "正面/负面/中性", en: "Sentiment", text: "房间很干净，早餐也好吃，下次还来", labels: ["正面", "负面", "中性"] },
  { zh: "新闻频道", en: "News channel", text: "国足昨晚在主场以二比一战胜对手", labels: ["体育", "财经", "科技", "娱乐", "教育", "房产"] },
  { zh: "购买意图", en: "Intent to buy", text: "请问这款还有货吗？能便宜一点吗", labels: ["想购买", "想退货", "随便看看"] },
];

const TEXTS_PER_CALL = 16, MAX_HISTORY = 20, COUNT_AFTER_MS = 300;
const $ = (id) => document.getElementById(id);
const state = { language: "zh", labels: [], rows: [], sort: { by: "number", down: false }, set: null, running: null };

// --- language ---------------------------------------------------------------------------------------------------
const translate = (name) => TEXTS[state.language][name];
function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = translate(element.dataset.i18n);
  $("language").textContent = translate("other");
  $("presets").replaceChildren(...PRESETS.map((preset) => button(preset[language], () => usePreset(preset))));
  $("set").options.length || listSets();
  if ($("set").options[0]) $("set").options[0].text = translate("choose");
  drawChips();
  drawHistory();
}

function button(text, onClick, className = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.className = className;
  element.addEventListener("click", onClick);
  return element;
}

// --- requests ---------------------------------------------------------------------------------------------------
class RequestError extends Error {}

async function request(method, path, body, headers = {}, signal = undefined) {
  const key = sessionStorage.getItem("key");
  const allHeaders = { ...(body ? { "Content-Type": "application/json" } : {}), ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers };
  let response;
  try {
    response = await fetch(`.${path}`, { method, headers: allHeaders, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(translate("unreachable"));
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new RequestError(translate("codes")[answer.code] || answer.detail || translate("refused"));
  error.status = response.status;
  error.retryAfterS = Number(response.headers.get("Retry-After"));
  throw error;
}

function show(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// --- the form ---------------------------------------------------------------------------------------------------
function addLabels(text) {
  for (const label of text.split(/[,，\n]/).map((part) => part.trim())) {
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
    chip.setAttribute("aria-label", `${translate("remove")} ${label}`);
    item.append(chip);
    return item;
  }));
  countSoon();
}

function options() {
  addLabels($("label").value);
  $("label").value = "";
  if (!state.labels.length) throw new RequestError(translate("needLabels"));
  const { max_tokens, special_tokens } = state.set ?? {};
  const shown = { labels: state.labels, hypothesis_template: $("template").value || "{}", multi_label: $("multi").checked };
  return { ...shown, max_tokens: max_tokens ?? undefined, special_tokens: special_tokens ?? undefined, entailment: true };
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
    const counted = await request("POST", "/v1/tokenize", body);
    const longest = (name) => Math.max(0, ...counted.labels.map((label) => label[name]));
    const cut = counted.truncated ? ` · ${translate("cut")(longest("text_cut"), longest("label_cut"))}` : "";
    $("counter").textContent = translate("counter")(Math.max(counted.text_tokens, longest("tokens")), counted.max_tokens) + cut;
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
    if (!text.trim()) throw new RequestError(translate("needText"));
    const began = performance.now();
    const answer = await request("POST", "/v1/classify", { text, ...options() });
    drawResult(answer, Math.round(performance.now() - began));
    remember({ text, labels: [...state.labels], best: answer.labels[0], score: answer.scores[0] });
  } catch (error) {
    $("result").hidden = true;
    show(error);
  } finally {
    $("go").disabled = false;
  }
}

// --- the result -------------------------------------------------------------------------------------------------
const percent = (score) => `${(100 * score).toFixed(1)}%`;

function noneOf(answer) {
  const threshold = Number($("threshold").value);
  return threshold > 0 && Math.max(...answer.entailment) < threshold;
}

function drawResult(answer, ms) {
  $("result").hidden = false;
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
    fill.style.display = "block";
    requestAnimationFrame(() => (fill.style.width = percent(answer.scores[index])));
    track.append(fill);
    score.className = "score";
    score.textContent = percent(answer.scores[index]);
    item.append(name, track, score);
    return item;
  }));
  const notices = [none && translate("none"), answer.truncated && translate("wasCut")(answer.cut)].filter(Boolean);
  $("notice").textContent = notices.join(" ");
  $("notice").hidden = !notices.length;
  $("facts").textContent = translate("facts")(ms, answer.pairs, answer.model);
  $("resultName").focus({ preventScroll: true });
}

// --- label sets -------------------------------------------------------------------------------------------------
async function listSets() {
  try {
    const sets = [];
    for (let after = ""; after !== null; ) {
      const page = await request("GET", `/v1/label-sets?limit=100${after && `&after=${encodeURIComponent(after)}`}`);
      sets.push(...page.label_sets);
      after = page.has_more ? page.last_id : null;
    }
    const names = [["", translate("choose")], ...sets.map((set) => [set.name, `${set.name} @${set.version}`])];
    $("set").replaceChildren(...names.map(([value, text]) => new Option(text, value)));
  } catch {
    $("set").replaceChildren(new Option(translate("choose"), ""));
  }
}

async function loadSet() {
  const name = $("set").value;
  state.set = null;
  if (!name) return;
  try {
    const set = await request("GET", `/v1/label-sets/${name}`);
    state.labels = set.labels.map((label) => label.label);
    state.set = set;
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
    if (!name || !$("setName").checkValidity()) throw new RequestError(translate("needName"));
    const { labels, hypothesis_template, multi_label, max_tokens, special_tokens } = options();
    const threshold = Number($("threshold").value) || null;
    const precondition = name === state.set?.name ? { "If-Match": `"${state.set.version}"` } : {};
    // What the form does not show is kept: hypotheses of single labels among it.
    const kept = labels.map((label) => state.set?.labels.find((other) => other.label === label) ?? label);
    const set = { labels: kept, hypothesis_template, multi_label, threshold, max_tokens, special_tokens };
    const saved = await request("PUT", `/v1/label-sets/${name}`, set, precondition);
    state.set = saved;
    await listSets();
    $("set").value = name;
    clearTimeout(counting); // a count of what was typed before would take the message away
    $("counter").textContent = translate("saved")(`${saved.name}@${saved.version}`);
  } catch (error) {
    show(error);
  }
}

// --- many texts -------------------------------------------------------------------------------------------------
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
  let common;
  try {
    if (!texts.length) throw new RequestError(translate("needText"));
    common = options();
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
      await classifySome(texts.slice(start, start + TEXTS_PER_CALL), start, common);
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

async function classifySome(texts, start, common) {
  const { signal } = state.running;
  try {
    const { results } = await request("POST", "/v1/classify", { texts, ...common }, {}, signal);
    results.forEach((result, index) => state.rows.push(row(start + index + 1, texts[index], result)));
  } catch (error) {
    if (error.retryAfterS > 0 && error.retryAfterS <= 60) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfterS));
      if (!signal.aborted) return classifySome(texts, start, common);
    }
    if (texts.length === 1 && error.status === 422) {
      state.rows.push({ number: start + 1, text: texts[0], label: `${translate("failed")}: ${error.message}`, score: 0 });
    } else if (error.status === 422) {
      // One of them cannot be answered; the others can.
      for (let index = 0; index < texts.length; index++) await classifySome([texts[index]], start + index, common);
    } else {
      throw error;
    }
  }
}

const row = (number, text, result) => ({ number, text, label: noneOf(result) ? "—" : result.labels[0], score: result.scores[0], labels: result.labels, scores: result.scores });

function drawProgress(done, all) {
  $("progress").max = all;
  $("progress").value = done;
  $("progressText").textContent = translate("progress")(done, all);
}

function shownRows() {
  const filter = $("filter").value.trim().toLowerCase();
  const { by, down } = state.sort;
  const order = (a, b) => (typeof a[by] === "number" ? a[by] - b[by] : a[by].localeCompare(b[by], "zh"));
  const shown = state.rows.filter((row) => !filter || `${row.text}\n${row.label}`.toLowerCase().includes(filter));
  return shown.sort((a, b) => (down ? order(b, a) : order(a, b)));
}

function drawTable() {
  $("table").tBodies[0].replaceChildren(...shownRows().map((row) => {
    const line = document.createElement("tr");
    for (const value of [row.number, row.text, row.label, percent(row.score)]) line.insertCell().textContent = value;
    return line;
  }));
  for (const sorter of document.querySelectorAll("[data-sort]")) {
    const active = sorter.dataset.sort === state.sort.by;
    sorter.parentElement.setAttribute("aria-sort", active ? (state.sort.down ? "descending" : "ascending") : "none");
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

// --- history ----------------------------------------------------------------------------------------------------
const pastEntries = () => JSON.parse(localStorage.getItem("history") || "[]");

function remember(entry) {
  const others = pastEntries().filter((other) => other.text !== entry.text || other.labels.join() !== entry.labels.join());
  localStorage.setItem("history", JSON.stringify([entry, ...others].slice(0, MAX_HISTORY)));
  drawHistory();
}

function drawHistory() {
  $("pastArea").hidden = !pastEntries().length;
  $("history").replaceChildren(...pastEntries().map((entry) => {
    const item = document.createElement("li");
    item.append(button(`${entry.text.slice(0, 60)} → ${entry.best} ${percent(entry.score)}`, () => {
      $("text").value = entry.text;
      state.labels = entry.labels;
      drawChips();
      $("form").requestSubmit();
    }, "plain"));
    return item;
  }));
}

// --- wiring -----------------------------------------------------------------------------------------------------
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
  for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    $("lines").addEventListener(name, (event) => {
      event.preventDefault();
      $("lines").classList.toggle("dropping", dropping);
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
  const preferred = localStorage.getItem("language") || navigator.language;
  setLanguage(preferred.startsWith("zh") ? "zh" : "en");
}

start();
