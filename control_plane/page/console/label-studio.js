// Label Studio's JSON export: each task's data, with what its annotators chose. See wanneng/tables/label_studio.py.

import { recordsOf, tableOf } from "../files.js";
import { say } from "./words.js";

export const isExport = (tasks) => Boolean(tasks[0]?.data && typeof tasks[0].data === "object" && ["annotations", "completions", "predictions"].some((name) => name in tasks[0]));

// The first control with choices names the column of the labels. Tasks without a choice have an empty label.
export function readExport(tasks) {
  const data = tasks.map((task) => (task?.data && typeof task.data === "object" ? task.data : {}));
  const [names, ...rows] = recordsOf(data), labelName = names.includes("label") ? say("choice") : "label";
  const records = rows.map((row, index) => [...row, chosen(tasks[index])]);
  return { ...tableOf([[...names, labelName], ...records], true), labelColumn: names.length };
}

// Of the ground truth, or else of most annotators; empty where they disagree or have chosen several.
function chosen(task) {
  const annotations = (task?.annotations ?? task?.completions ?? []).filter((each) => each && !each.was_cancelled);
  const truths = annotations.filter((each) => each.ground_truth), votes = new Map();
  for (const annotation of truths.length ? truths : annotations) {
    const choices = (annotation.result ?? []).filter((result) => result?.type === "choices" && !("start" in (result.value ?? {}))).flatMap((result) => result.value?.choices ?? []);
    if (choices.length === 1) votes.set(choices[0], (votes.get(choices[0]) ?? 0) + 1);
  }
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1]);
  return first && first[1] !== second?.[1] ? String(first[0]) : "";
}
