// What the gateways do at present, asked again every few seconds for as long as the screen is shown.

import { get } from "./api.js";
import { element, facts, paragraph, section } from "./dom.js";
import { table } from "./table.js";
import { OUTCOMES } from "./tenant.js";
import { locale, number, say, share } from "./words.js";

const EVERY_MS = 5_000, BYTES_IN_MB = 1_000_000;

export async function show(view) {
  const content = element("div");
  view.root.append(content);
  let before = null;
  const refresh = async () => {
    const status = await get("/v1/admin/status", view.signal), at = Date.now();
    // Where the reader is in the tables stays; what they show is new.
    const scrolled = [...content.querySelectorAll(".scroll")].map((node) => node.scrollTop), focused = [...content.querySelectorAll(".scroll")].indexOf(document.activeElement);
    content.replaceChildren(...parts(status, before && { total: before.status.total, seconds: (at - before.at) / 1000 }, at));
    content.querySelectorAll(".scroll").forEach((node, index) => (node.scrollTop = scrolled[index] ?? 0, index === focused && node.focus()));
    before = { status, at };
  };
  await refresh();
  const again = async () => {
    if (view.signal.aborted) return;
    if (!document.hidden) await refresh().then(() => view.report(null), (error) => view.signal.aborted || view.report(error));
    if (!view.signal.aborted) setTimeout(again, EVERY_MS);
  };
  setTimeout(again, EVERY_MS);
}

function parts({ gateways, total, pools, tenants }, since, at) {
  const answered = (figures) => figures.pairs_computed + figures.pairs_from_cache;
  const silent = gateways.filter((gateway) => gateway.error !== null).length;
  const known = [
    [say("waiting"), number(total.pairs_in_flight - total.pairs_at_triton)], [say("atTriton"), number(total.pairs_at_triton)],
    // A gateway that has started anew counts from zero.
    [say("pairsEachSecond"), since ? number(Math.max(0, Math.round((answered(total) - answered(since.total)) / since.seconds))) : "—"],
    [say("cacheShare"), answered(total) ? share(total.pairs_from_cache / answered(total)) : "—"],
    [say("cachedPairs"), number(total.cached_pairs)], [say("cacheBytes"), `${number(Math.round(total.cache_bytes / BYTES_IN_MB))} MB`],
    [say("pairsRefused"), number(total.pairs_refused)], [say("budgetsExceeded"), number(total.budgets_exceeded)],
    ...OUTCOMES.map(([outcome, title]) => [say(title), number(total[`requests_${outcome}`])]),
  ];
  return [
    paragraph(say("refreshed", new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(at))),
    silent ? paragraph(say("missing", silent), "error") : "",
    section(say("all"), facts(known)), gatewaysSection(gateways), poolsSection(pools), tenantsSection(tenants),
  ];
}

function gatewaysSection(gateways) {
  const state = (gateway) => gateway.error ?? say(gateway.ready ? "ready" : "notReady") + (gateway.redis_up === false ? say("redisDown") : "");
  const figure = (title, value) => ({ title: say(title), isNumber: true, cell: ({ figures }) => (figures ? number(value(figures)) : "—") });
  return section(say("gateways"), table(say("gateways"), [
    { title: say("gateway"), cell: (gateway) => gateway.url },
    { title: say("status"), cell: state, className: (gateway) => gateway.error !== null && "changed" },
    figure("waiting", (figures) => figures.pairs_in_flight - figures.pairs_at_triton), figure("atTriton", (figures) => figures.pairs_at_triton),
    figure("cachedPairs", (figures) => figures.cached_pairs), figure("requestsAnswered", (figures) => figures.requests_answered),
    figure("requestsRefused", (figures) => figures.requests_refused), figure("requestsFailed", (figures) => figures.requests_failed),
  ], gateways));
}

function poolsSection(pools) {
  return section(say("pools"), table(say("pools"), [
    { title: say("pool"), cell: (pool) => pool.pool },
    { title: say("answering"), isNumber: true, cell: (pool) => number(pool.answering) },
    { title: say("ejected"), isNumber: true, cell: (pool) => number(pool.ejected), className: (pool) => pool.ejected > 0 && "changed" },
    { title: say("engines"), cell: (pool) => Object.entries(pool.engines).map(([engine, count]) => `${count} × ${engine}`).join(", ") },
  ], pools));
}

function tenantsSection(tenants) {
  return section(say("byTenant"), table(say("byTenant"), [
    { title: say("tenant"), cell: (tenant) => tenant.tenant_id }, { title: say("pairs"), isNumber: true, cell: (tenant) => number(tenant.pairs) },
    ...OUTCOMES.map(([outcome, title]) => ({ title: say(title), isNumber: true, cell: (tenant) => number(tenant[outcome]) })),
  ], tenants));
}
