// Takes the links to sponsors out of the lock file: it holds versions and hashes, and names no host.

import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
for (const installed of Object.values(lock.packages)) delete installed.funding;
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
