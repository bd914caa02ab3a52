// The tenant's batches: their list, and one of them as it goes on.

import { blob, get, page, post } from "./api.js";
import { actions, button, element, facts, link, paragraph, save, section } from "./dom.js";
import { confirmed } from "./dialog.js";
import { newBatch } from "./new-batch.js";
import { addressOf } from "./router.js";
import { pager, table } from "./table.js";
import { number, say, time } from "./words.js";

const POLL_MS = 2_000, MOVING = ["validating", "in_progress", "finalizing", "cancelling"];
// The key no longer works or lacks the scope, or the batch is gone.
const FINAL = [401, 403, 404];

export async function show(view) {
  const [id] = view.route.path;
  await (id ? showOne(view, id) : showAll(view));
}

async function showAll(view) {
  const list = element("div");
  view.root.append(view.identity.scopes.includes("batches:write") ? await newBatch(view) : "", list);
  await drawList(view, list);
}

async function drawList(view, list) {
  const answer = await page("/v1/batches", view.route, {}, view.signal);
  const columns = [
    { title: say("batch"), cell: (batch) => link(batch.id, addressOf(["batches", batch.id])) },
    { title: say("batchFile"), cell: (batch) => batch.metadata.file ?? "—" },
    { title: say("status"), cell: (batch) => say(batch.status) },
    { title: say("progress"), cell: progress },
    { title: say("created"), cell: (batch) => time(batch.created_at) },
  ];
  // The reader may be at a link of it; what has moved is drawn when they are not.
  const isBeingRead = list.contains(document.activeElement);
  if (!isBeingRead) list.replaceChildren(table(say("batches"), columns, answer.data), pager(view.route, answer) ?? "");
  if (isBeingRead || answer.data.some((batch) => MOVING.includes(batch.status))) refresh(view, () => drawList(view, list));
}

async function showOne(view, id) {
  view.title(id);
  const place = element("div"), state = element("div");
  view.root.append(actions(link(say("allBatches"), addressOf(["batches"]))), state, place);
  await follow(view, id, state, place);
}

// The progress is drawn each time, what can be done only when it is something else: a button keeps the focus.
async function follow(view, id, state, place, before = "") {
  const batch = await get(`/v1/batches/${encodeURIComponent(id)}`, view.signal), now = batch.status + batch.output_file_id + batch.error_file_id;
  state.replaceChildren(element("p", {}, `${say(batch.status)} `, progress(batch)));
  if (now !== before) place.replaceChildren(details(view, batch));
  if (MOVING.includes(batch.status)) refresh(view, () => follow(view, id, state, place, now));
}

// After a while, unless the screen was left, and again after an error that may pass; `failed` is what went wrong before.
function refresh(view, action, failed = null) {
  setTimeout(async () => {
    if (view.signal.aborted) return;
    try {
      await action();
      if (failed && !view.signal.aborted) view.report(null);
    } catch (error) {
      if (view.signal.aborted) return;
      const isFinal = FINAL.includes(error.status);
      if (isFinal || !failed) view.report(error);
      if (!isFinal) refresh(view, action, error);
    }
  }, Math.max(POLL_MS, 1000 * (failed?.retryAfterS ?? 0)));
}

function details(view, batch) {
  const files = [["downloadOutput", batch.output_file_id, "output"], ["downloadErrors", batch.error_file_id, "errors"], ["downloadInput", batch.input_file_id, "input"]];
  const downloads = files.filter(([, id]) => id).map(([name, id, part]) => button(say(name), view.act(() => download(id, `${batch.id}-${part}.jsonl`)), "second"));
  const mayCancel = view.identity.scopes.includes("batches:write") && ["validating", "in_progress"].includes(batch.status);
  const cancel = mayCancel && button(say("cancelBatch"), view.act(async () => {
    if (!(await confirmed(say("confirmCancel", batch.id), say("cancelBatch")))) return;
    await post(`/v1/batches/${encodeURIComponent(batch.id)}/cancel`);
    await view.redraw();
  }), "danger");
  const errors = (batch.errors?.data ?? []).map(({ message, line }) => paragraph(line === null ? message : `${say("lineNumber", line)}: ${message}`, "error"));
  return section(say("batch"), errors, facts([
    [say("batchFile"), batch.metadata.file ?? batch.input_file_id], [say("created"), time(batch.created_at)],
    [say("completed"), time(batch.completed_at)], [say("expires"), time(batch.expires_at)],
  ]), actions(...downloads, cancel));
}

const download = async (id, name) => save(name, "application/jsonl", await blob(`/v1/files/${encodeURIComponent(id)}/content`));

function progress(batch) {
  const { total, completed, failed } = batch.request_counts, text = say("progressOf", number(completed + failed), number(total), number(failed));
  return element("span", {}, element("progress", { max: Math.max(1, total), value: completed + failed, "aria-label": say("progress") }), " ", text);
}
