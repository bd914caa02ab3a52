// Many texts: asked for some at a time, waiting as the service says, until all are answered or the reader stops.

import { drawAdvice, keepAnswer } from "./advice.js";
import { options } from "./form.js";
import { $, show, state, translate } from "./page.js";
import { RequestError, askForAll, patiently, request, whyWaiting } from "./requests.js";
import { drawTable } from "./rows.js";
import { rowsToClassify } from "./upload.js";

const TEXTS_PER_CALL = 16;

export async function classifyAll() {
  show(null);
  let rows, common;
  try {
    rows = rowsToClassify();
    if (!rows.length) throw new RequestError(translate("needText"));
    common = options();
  } catch (error) {
    return show(error);
  }
  state.running = new AbortController();
  state.rows = rows.filter((row) => row.error).map((row) => failed(row, row.error));
  $("run").disabled = true;
  $("stop").hidden = $("progressLine").hidden = $("tableArea").hidden = false;
  drawTable();
  try {
    const askable = rows.filter((row) => !row.error);
    for (let start = 0; start < askable.length; start += TEXTS_PER_CALL) {
      drawProgress(rows.length);
      await classifySome(askable.slice(start, start + TEXTS_PER_CALL), common, rows.length);
      drawTable();
    }
  } catch (error) {
    if (error.name !== "AbortError") show(error);
  } finally {
    drawProgress(rows.length);
    drawTable();
    // At the end: a test repeated after each part finds something by chance eventually.
    drawAdvice();
    $("run").disabled = false;
    $("stop").hidden = true;
  }
}

function classifySome(rows, common, all) {
  const { signal } = state.running;
  const told = (seconds, error) => ($("progressText").textContent = translate(whyWaiting(error))(Math.ceil(seconds), state.rows.length, all));
  const ask = async (texts) => {
    const asked = () => request("POST", "/v1/classify", { texts, ...common }, {}, signal);
    return (await patiently(asked, told, signal)).results;
  };
  return askForAll(rows, ask, (row, result) => (keepAnswer(row.text, result, common), state.rows.push(answered(row, result))), (row, why) => state.rows.push(failed(row, why)));
}

const answered = (row, { labels, scores, entailment }) => ({ ...row, labels, scores, entailment, score: scores[0] });
const failed = (row, why) => ({ ...row, score: 0, error: why });

function drawProgress(all) {
  $("progress").max = all;
  $("progress").value = state.rows.length;
  $("progressText").textContent = translate("progress")(state.rows.length, all);
}
