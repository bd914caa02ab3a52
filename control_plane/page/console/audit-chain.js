// The export of the audit log, and the verification of its chain, as `wanneng audit verify` does it.

import { send } from "../requests.js";

const FIRST_HASH = "0".repeat(64), PRUNED = "audit.prune";

// The first record that is not as it was written.
export class AlteredLog extends Error {
  constructor(sequence) {
    super(`record ${sequence}`);
    this.sequence = sequence;
  }
}

// Lines of JSON, oldest first. One answer has 10,000 of them at most.
export async function* exportedLines(path, signal) {
  for (let after = 0; ; ) {
    const answer = await (await send("GET", `${path}${path.includes("?") ? "&" : "?"}after=${after}`, { signal })).text();
    // Not by other ends of lines: a text may have them.
    const lines = answer.split("\n").filter(Boolean);
    if (!lines.length) return;
    yield* lines;
    after = JSON.parse(lines.at(-1)).sequence;
  }
}

// How many records there are, and the hash of the last one; `AlteredLog`.
export async function verifyChain(lines) {
  let records = 0, first = 1, start = FIRST_HASH, last = 0, previous = FIRST_HASH, isPruned = false;
  for await (const line of lines) {
    const record = JSON.parse(line);
    if (!records && record.sequence > 1) {
      // Older ones were removed; an act among those that follow has to say so.
      ({ sequence: first, previous: start } = record);
      [last, previous] = [first - 1, start];
    }
    if (record.sequence !== last + 1) throw new AlteredLog(last + 1);
    if (record.previous !== previous || (await hashOf(record)) !== record.hash || canonical(record) !== line) throw new AlteredLog(record.sequence);
    isPruned ||= record.verb === PRUNED && record.after?.through === first - 1 && record.after.hash === start;
    [records, last, previous] = [records + 1, record.sequence, record.hash];
  }
  if (first > 1 && !isPruned) throw new AlteredLog(first - 1);
  return { records, hash: previous };
}

async function hashOf({ hash, ...content }) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical(content)));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// JSON as RFC 8785 has it, of what a record may have: integers, texts, and names in ASCII.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}
