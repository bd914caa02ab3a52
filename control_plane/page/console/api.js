// The API as screens ask it. A refusal is a `RequestError` with the problem's `status`, `code`, `detail` and `field`.

import { request, send } from "../requests.js";

export const PAGE_ITEMS = 20;

export const get = (path, signal) => request("GET", path, undefined, {}, signal);
export const post = (path, body, headers) => request("POST", path, body ?? {}, headers);
export const put = (path, body, headers) => request("PUT", path, body, headers);
export const patch = (path, body) => request("PATCH", path, body);
export const remove = (path) => send("DELETE", path);
export const blob = async (path) => (await send("GET", path)).blob();
export const uploadForm = async (path, form) => (await send("POST", path, { body: form })).json();

// A path with its query; what is empty is left out.
export function query(path, params) {
  const given = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

// One page of a list, behind the item that the route names.
export const page = (path, route, params = {}, signal = undefined) => get(query(path, { limit: PAGE_ITEMS, after: route.params.after, ...params }), signal);

// All items of a list, page after page.
export async function all(path, name, signal) {
  const items = [];
  for (let after = ""; after !== null; ) {
    const answer = await get(query(path, { limit: 100, after }), signal);
    items.push(...answer[name]);
    after = answer.has_more ? answer.last_id : null;
  }
  return items;
}

// Of a version that is to be replaced.
export const ifMatch = (version) => ({ "If-Match": `"${version}"` });
