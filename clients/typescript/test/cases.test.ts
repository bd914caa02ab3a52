// Runs clients/cases.json, with the gateway's address, its keys and what the Python client was answered.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, GatewayRefused } from "../src/client.js";

const TOLERANCE = 1e-6;
const PATIENCE_MS = 60_000;

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type JsonObject = { [name: string]: Json };
type Client = ReturnType<typeof createClient>;

interface Step {
  call: string;
  key?: string;
  path?: JsonObject;
  query?: JsonObject;
  header?: JsonObject;
  body?: JsonObject;
  form?: { purpose: "batch"; file: string };
  expect?: JsonObject;
  until?: JsonObject;
  headers?: Record<string, string>;
  save?: Record<string, string>;
  refused?: { status: number; code: string; field?: string; request_id?: string; retry_after?: boolean };
}

interface Suite {
  url: string;
  keys: Record<string, string>;
  variables: JsonObject;
  cases: { name: string; steps: Step[] }[];
}

const file = process.env["WANNENG_CASES"];
assert(file, "WANNENG_CASES is not set: run the cases with pytest tests/clients, which starts a gateway for them");
const suite: Suite = JSON.parse(readFileSync(file, "utf-8"));

// What a case holds is checked by the gateway, not by the compiler; src/client.ts and docs/api.md have typed calls.
type Loose = any;

/** Makes a step's call by its operation id. */
function call(client: Client, step: Step, variables: JsonObject) {
  const { path, query, header } = fill(step, variables) as Loose;
  const params: Loose = { path, query, header };
  const body: Loose = fill(step.body ?? null, variables);
  switch (step.call) {
    case "classify":
      return client.POST("/v1/classify", { params, body });
    case "tokenize":
      return client.POST("/v1/tokenize", { params, body });
    case "putLabelSet":
      return client.PUT("/v1/label-sets/{name}", { params, body });
    case "listLabelSets":
      return client.GET("/v1/label-sets", { params });
    case "getUsage":
      return client.GET("/v1/usage", { params });
    case "uploadFile":
      return client.POST("/v1/files", { body: step.form!, bodySerializer: form });
    case "createBatch":
      return client.POST("/v1/batches", { params, body });
    case "getBatch":
      return client.GET("/v1/batches/{batch_id}", { params });
    case "downloadFile":
      // Lines of JSON; the suite has one line.
      return client.GET("/v1/files/{file_id}/content", { params, parseAs: "text" });
    default:
      throw new Error(`the suite has no call ${step.call}`);
  }
}

function form(fields: { purpose: string; file: string }) {
  const data = new FormData();
  data.append("purpose", fields.purpose);
  data.append("file", new Blob([fields.file]), "lines.jsonl");
  return data;
}

async function run(step: Step, variables: JsonObject) {
  const key = suite.keys[step.key ?? "tenant"];
  assert(key !== undefined);
  const client = createClient({ baseUrl: suite.url, key });
  if (step.refused) {
    await assert.rejects(async () => call(client, step, variables), (error) => isRefusal(error, step.refused!));
    return;
  }
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(200)) {
    const { data, response } = await call(client, step, variables);
    const answer: Json = typeof data === "string" ? JSON.parse(data) : (data as Loose);
    try {
      check(step.until ?? {}, answer, variables);
    } catch (pending) {
      if (Date.now() > deadline) throw pending;
      continue;
    }
    for (const [name, value] of Object.entries(step.headers ?? {})) assert.equal(response.headers.get(name), value);
    for (const [name, pointer] of Object.entries(step.save ?? {})) variables[name] = at(answer, pointer) ?? null;
    check(step.expect ?? {}, answer, variables);
    return;
  }
}

function isRefusal(error: unknown, expected: NonNullable<Step["refused"]>): true {
  assert(error instanceof GatewayRefused, String(error));
  assert.deepEqual([error.status, error.code, error.field], [expected.status, expected.code, expected.field]);
  assert(error.message);
  assert.equal(error.requestId, error.headers.get("X-Request-Id"));
  assert.equal(error.requestId, expected.request_id ?? error.requestId);
  const retries = error.retryAfterS !== undefined;
  assert.equal(retries, expected.retry_after ?? retries);
  return true;
}

/** Puts variables where a string is `$name`. */
function fill(value: Json | Step, variables: JsonObject): Json {
  if (typeof value === "string") return value.startsWith("$") ? (variables[value.slice(1)] ?? null) : value;
  if (Array.isArray(value)) return value.map((member) => fill(member, variables));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fill(member, variables)]));
}

function check(expected: JsonObject, answer: Json, variables: JsonObject) {
  for (const [pointer, wanted] of Object.entries(expected)) {
    const value = at(answer, pointer);
    const special = wanted !== null && typeof wanted === "object" && !Array.isArray(wanted) ? wanted : {};
    if ("absent" in special) assert.equal(value === undefined, special["absent"], pointer);
    else if ("length" in special) assert.equal((value as Json[] | undefined)?.length, special["length"], pointer);
    else assertSame(value, fill(wanted, variables), pointer);
  }
}

/** What a JSON pointer leads to (RFC 6901, without escapes). */
function at(value: Json, pointer: string): Json | undefined {
  let found: Json | undefined = value;
  for (const part of pointer.split("/").slice(1)) found = (found as JsonObject | null | undefined)?.[part];
  return found;
}

function assertSame(value: Json | undefined, expected: Json, pointer: string) {
  if (typeof value === "number" && typeof expected === "number") {
    assert(Math.abs(value - expected) <= TOLERANCE, `${pointer} is ${value}, not ${expected}`);
  } else if (Array.isArray(value) && Array.isArray(expected) && value.length === expected.length) {
    expected.forEach((member, index) => assertSame(value[index], member, `${pointer}/${index}`));
  } else {
    assert.deepEqual(value, expected, pointer);
  }
}

for (const { name, steps } of suite.cases) {
  test(name, async () => {
    const variables = { ...suite.variables };
    for (const step of steps) await run(step, variables);
  });
}
