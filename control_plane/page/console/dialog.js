// Dialogs: the browser keeps the focus in them and closes them with Escape.

import { actions, button, element, newId, paragraph } from "./dom.js";
import { say } from "./words.js";

// Whether `verb` was chosen. `children`: paragraphs and fields.
export function dialog(title, children, verb, { isDanger = false } = {}) {
  return new Promise((resolve) => {
    const heading = element("h3", { id: newId() }, title);
    const form = element("form", { onsubmit: (event) => finish(event, true) }, heading, ...children,
      actions(verb && element("button", { type: "submit", class: isDanger ? "danger" : "" }, verb), button(verb ? say("cancel") : say("close"), (event) => finish(event, false), "second")));
    const node = element("dialog", { "aria-labelledby": heading.id, onclose: () => (node.remove(), resolve(node.returnValue === "yes")) }, form);
    function finish(event, isYes) {
      event.preventDefault();
      node.close(isYes ? "yes" : "no");
    }
    document.body.append(node);
    node.showModal();
  });
}

export const confirmed = (text, verb) => dialog(text, [], verb, { isDanger: true });

// Something that can be read once, such as a new key.
export function shown(title, text, hint) {
  const secret = element("p", { class: "secret" }, text), told = element("p", { role: "status" });
  const copy = async () => {
    try {
      // Over plain HTTP there is no clipboard.
      await navigator.clipboard.writeText(text);
      told.textContent = say("copied");
    } catch {
      getSelection().selectAllChildren(secret);
      told.textContent = say("copyYourself");
    }
  };
  return dialog(title, [paragraph(hint), secret, actions(button(say("copy"), copy, "second")), told], "");
}
