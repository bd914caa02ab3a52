// Tables that scroll within themselves, and links to the pages of a list.

import { element, link, paragraph } from "./dom.js";
import { addressOf } from "./router.js";
import { say } from "./words.js";

// `columns`: { title, cell(row), isNumber, className(row) }; the first one names the row.
export function table(name, columns, rows) {
  if (!rows.length) return paragraph(say("nothing"), "empty");
  const head = columns.map((column) => element(column.title ? "th" : "td", { scope: column.title ? "col" : null, class: column.isNumber ? "number" : null }, column.title));
  const body = rows.map((row) => element("tr", {}, columns.map((column, index) => {
    const classes = [column.isNumber && "number", column.className?.(row)].filter(Boolean).join(" ");
    return element(index ? "td" : "th", { scope: index ? null : "row", class: classes || null }, column.cell(row));
  })));
  return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name },
    element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)));
}

// The pages before are those of the browser's history.
export function pager(route, answer) {
  const place = [route.screen, ...route.path], links = [];
  if (route.params.after) links.push(link(say("firstPage"), addressOf(place, { ...route.params, after: "" })));
  if (answer.has_more) links.push(link(say("nextPage"), addressOf(place, { ...route.params, after: answer.last_id })));
  return links.length ? element("nav", { class: "pager", "aria-label": say("pages") }, links) : null;
}
