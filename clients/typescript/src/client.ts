// The client of a wanneng gateway, generated from its OpenAPI document.

import createOpenApiClient, { type ClientOptions, type Middleware } from "openapi-fetch";
import type { components, paths } from "./generated.js";

export type { components, operations, paths } from "./generated.js";
export type Schemas = components["schemas"];

/** The gateway's problem document (RFC 9457). Programs look at `code`, people at the message. */
export class GatewayRefused extends Error {
  readonly code: string;
  /** What is to blame, such as `texts[3]`. */
  readonly field: string | undefined;
  readonly requestId: string | undefined;
  /** Seconds to wait before the next try; undefined: waiting does not help, or nobody says how long. */
  readonly retryAfterS: number | undefined;

  constructor(
    readonly status: number,
    readonly problem: Partial<Schemas["Problem"]>,
    readonly headers: Headers,
  ) {
    super(problem.detail ?? `status ${status}`);
    this.name = "GatewayRefused";
    this.code = problem.code ?? "http_error";
    this.field = problem.field;
    this.requestId = problem.request_id;
    const retryAfterS = headers.get("Retry-After");
    this.retryAfterS = retryAfterS !== null && /^\d+$/.test(retryAfterS) ? Number(retryAfterS) : undefined;
  }
}

const refusals: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return;
    const isProblem = /\bjson\b/.test(response.headers.get("Content-Type") ?? "");
    // What is no problem document comes from a proxy between.
    const problem: unknown = isProblem ? await response.json().catch(() => null) : null;
    throw new GatewayRefused(response.status, problem instanceof Object ? problem : {}, response.headers);
  },
};

/** A client of the gateway at `baseUrl`. Its methods throw `GatewayRefused` where the gateway refuses. */
export function createClient({ key, ...options }: ClientOptions & { baseUrl: string; key?: string }) {
  const client = createOpenApiClient<paths>(options);
  client.use(refusals);
  if (key !== undefined) {
    client.use({ onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${key}`) });
  }
  return client;
}
