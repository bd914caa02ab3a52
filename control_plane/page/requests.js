// Requests to the gateway that served the page, and to no other host.

import { translate } from "./page.js";

const FIRST_PAUSE_S = 0.5, ATTEMPTS = 5, LONGEST_WAIT_S = 3600;
const WHEN_TOO_MUCH = ["quota_exceeded", "body_too_large", "deadline_exceeded", "triton_failed"];

export class RequestError extends Error {}

// The response of a request that succeeded. Relative, as is every address of the page: it may be served below another path.
// `body`: a form, or what becomes JSON.
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const key = sessionStorage.getItem("key"), isForm = body instanceof FormData;
  const allHeaders = { ...(body && !isForm ? { "Content-Type": "application/json" } : {}), ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers };
  let response;
  try {
    response = await fetch(`.${path}`, { method, headers: allHeaders, body: isForm ? body : body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new RequestError(translate("unreachable")), { code: "unreachable" });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  const error = new RequestError(translate("codes")[answer.code] || answer.detail || translate("refused"));
  const retryAfter = response.headers.get("Retry-After");
  throw Object.assign(error, {
    status: response.status, code: answer.code, field: answer.field ?? "", detail: answer.detail ?? error.message,
    retryAfterS: /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : null,
  });
}

export async function request(method, path, body, headers = {}, signal = undefined) {
  return (await send(method, path, { body, headers, signal })).json().catch(() => ({}));
}

// Waits as the service says, and a little where nobody answers; `told` hears for how long and the error. What stays is
// thrown.
export async function patiently(ask, told, signal) {
  let waitedS = 0, failures = 0;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const lost = error.code === "unreachable" && ++failures < ATTEMPTS;
      const pauseS = [429, 503].includes(error.status) && error.retryAfterS !== null
        ? Math.max(error.retryAfterS, FIRST_PAUSE_S) : lost ? FIRST_PAUSE_S * 2 ** failures : null;
      waitedS += pauseS ?? 0;
      if (pauseS === null || waitedS > LONGEST_WAIT_S) throw error;
      told(pauseS, error);
      await pause(pauseS, signal);
    }
  }
}

// The name of why: a limit of the tenant, or what it has no part in.
export const whyWaiting = (error) => (error.status === 429 ? "limited" : "serviceBusy");

// Asks for rows together: a row that is refused is its own error, and what is too much at once is asked for in halves.
// `ask` takes texts; `answered` takes a row and its result; `refused` a row, why, and the error of all of it.
export async function askForAll(rows, ask, answered, refused) {
  if (!rows.length) return;
  let results;
  try {
    results = await ask(rows.map((row) => row.text));
  } catch (error) {
    const named = /^texts\[(\d+)\]/.exec(error.field ?? "");
    const ofText = error.status === 422 && /^text/.test(error.field);
    const tooMuch = WHEN_TOO_MUCH.includes(error.code) && (error.retryAfterS ?? null) === null;
    if (named && Number(named[1]) < rows.length) {
      refused(rows[named[1]], error.detail.replace(`${error.field}: `, ""));
      return askForAll(rows.filter((row, index) => index !== Number(named[1])), ask, answered, refused);
    }
    if (!ofText && !tooMuch) throw error;
    if (rows.length === 1) {
      if (error.code === "quota_exceeded") throw error;
      return refused(rows[0], error.message, error);
    }
    const half = Math.ceil(rows.length / 2);
    await askForAll(rows.slice(0, half), ask, answered, refused);
    return askForAll(rows.slice(half), ask, answered, refused);
  }
  results.forEach((result, index) => answered(rows[index], result));
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}
