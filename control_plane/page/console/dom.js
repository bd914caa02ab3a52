// Elements made of names and texts alone: nothing that a person or a server wrote is ever read as HTML.

let ids = 0;
export const newId = () => `e${++ids}`;

// `attributes`: those of HTML; a function is a listener (`onclick`), false and null leave one out.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value ?? "";
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const section = (title, ...children) => {
  const heading = element("h3", { id: newId() }, title);
  return element("section", { "aria-labelledby": heading.id }, heading, ...children);
};
export const paragraph = (text, className = "hint") => element("p", { class: className }, text);
export const button = (text, onclick, className = "") => element("button", { type: "button", class: className, onclick }, text);
export const link = (text, address) => element("a", { href: address }, text);
export const actions = (...children) => element("p", { class: "actions" }, ...children);

// Pairs of a name and a value.
export const facts = (pairs) => element("dl", { class: "facts" }, pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));

// An input with its label, and what is to be known of it.
export function field(label, input, hint = "") {
  input.id ||= newId();
  const about = hint && element("p", { class: "hint", id: newId() }, hint);
  if (about) input.setAttribute("aria-describedby", about.id);
  return element("div", {}, element("label", { for: input.id }, label), input, about || null);
}

export function checkbox(label, checked, onchange = () => {}) {
  const input = element("input", { type: "checkbox", checked, onchange });
  const node = element("label", { class: "inline" }, input, label);
  return { node, input };
}

export function select(options, chosen, onchange = () => {}) {
  const node = element("select", { onchange });
  node.append(...options.map(([value, text]) => new Option(text, value, false, String(value) === String(chosen))));
  return node;
}

export function save(name, type, content) {
  const anchor = element("a", { href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type })), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}
