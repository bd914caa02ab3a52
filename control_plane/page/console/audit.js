// The audit log: filtered, page by page, exported, and its chain verified.

import { get, page, query } from "./api.js";
import { AlteredLog, exportedLines, verifyChain } from "./audit-chain.js";
import { actions, button, element, field, link, paragraph, save, section } from "./dom.js";
import { addressOf, go } from "./router.js";
import { pager, table } from "./table.js";
import { say, time } from "./words.js";

const FILTERS = [["tenant_id", "tenantId", "text"], ["actor", "actor", "text"], ["object", "object", "text"], ["from", "from", "datetime-local"], ["to", "to", "datetime-local"]];
const TIMES = ["from", "to"];
const ALL = "/v1/admin/audit";

export async function show(view) {
  const filters = asked(view.route.params);
  const answer = await page(ALL, view.route, filters, view.signal);
  const columns = [
    { title: say("sequence"), isNumber: true, cell: (record) => String(record.sequence) },
    { title: say("at"), cell: (record) => time(record.at) },
    { title: say("actor"), cell: (record) => record.actor },
    { title: say("verb"), cell: (record) => record.verb },
    { title: say("object"), cell: (record) => record.object },
    { title: say("before"), cell: (record) => values(record.before) },
    { title: say("after"), cell: (record) => values(record.after) },
    { title: say("requestOf"), cell: (record) => record.request_id ?? "—" },
  ];
  view.root.append(paragraph(say("auditHint")), filterForm(view), table(say("audit"), columns, answer.records), pager(view.route, answer) ?? "",
    actions(button(say("exportAudit"), view.act(() => exportLog(view, filters)), "second"), button(say("verify"), view.act(() => verify(view)), "second")));
}

// The parameters of the address as the API takes them: times of the reader's zone become UTC.
function asked(params) {
  const given = FILTERS.map(([name]) => [name, params[name] ?? ""]).filter(([, value]) => value !== "");
  return Object.fromEntries(given.map(([name, value]) => [name, TIMES.includes(name) && !Number.isNaN(Date.parse(value)) ? new Date(value).toISOString() : value]));
}

function filterForm(view) {
  const inputs = FILTERS.map(([name, , type]) => element("input", { type, value: view.route.params[name] ?? "", maxlength: "200", autocomplete: "off" }));
  const apply = view.act(() => go(["audit"], Object.fromEntries(FILTERS.map(([name], index) => [name, inputs[index].value.trim()]))));
  return section(say("filter"), element("form", { onsubmit: apply },
    element("div", { class: "facts" }, FILTERS.map(([, title], index) => field(say(title), inputs[index]))),
    actions(element("button", { type: "submit" }, say("filter")), link(say("clearFilter"), addressOf(["audit"])))));
}

const values = (known) => (known === null ? "—" : Object.entries(known).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join("\n"));

async function exportLog(view, filters) {
  const lines = [];
  for await (const line of exportedLines(query(`${ALL}/export`, filters), view.signal)) lines.push(`${line}\n`);
  save("audit.jsonl", "application/x-ndjson", new Blob(lines));
  view.tell(say("exported", lines.length));
}

async function verify(view) {
  if (!globalThis.crypto?.subtle) throw new Error(say("needsSecure"));
  try {
    const { records, hash } = await verifyChain(exportedLines(`${ALL}/export`, view.signal));
    view.tell(say("verified", records, hash));
  } catch (error) {
    throw error instanceof AlteredLog ? new Error(say("altered", error.sequence)) : error;
  }
}
