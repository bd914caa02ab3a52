// What the console says, in Chinese and in English: one catalogue, to which each part adds its own words.

import { state } from "../page.js";
import { FRAME } from "./words-frame.js";
import { KEYS } from "./words-keys.js";
import { LABEL_SETS } from "./words-label-sets.js";
import { OPERATOR } from "./words-operator.js";
import { TENANT } from "./words-tenant.js";
import { WORKBENCH } from "./words-workbench.js";

export const WORDS = { ...FRAME, ...KEYS, ...LABEL_SETS, ...OPERATOR, ...TENANT, ...WORKBENCH };
const LANGUAGES = { zh: 0, en: 1 };

// The words of a name; those with values in them are functions.
export function say(name, ...values) {
  const words = WORDS[name][LANGUAGES[state.language]];
  return typeof words === "function" ? words(...values) : words;
}

export const locale = () => (state.language === "zh" ? "zh-CN" : "en-GB");
export const number = (value) => new Intl.NumberFormat(locale()).format(value);
// In few characters, for where the exact number stands beside it.
export const compact = (value) => new Intl.NumberFormat(locale(), { notation: "compact" }).format(value);
export const share = (value) => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 }).format(value);
// Of a time in ISO 8601, or in seconds since 1970.
export const time = (value) => (value === null || value === undefined ? "—"
  : new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(typeof value === "number" ? new Date(1000 * value) : new Date(value)));
