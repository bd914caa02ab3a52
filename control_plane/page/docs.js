// The API reference: /openapi.json for people, each operation with its parameters and its body's example.

const element = (tag, ...children) => {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
};

function operation(method, path, described, schemas) {
  const block = element("div", element("h2", element("code", `${method.toUpperCase()} ${path}`)));
  block.className = "operation";
  block.append(element("p", [described.summary, described.description].filter(Boolean).join(". ")));
  for (const parameter of described.parameters) {
    if (parameter.in !== "path") block.append(element("p", element("code", parameter.name), ` ${parameter.description}`));
  }
  for (const { schema } of Object.values(described.requestBody?.content ?? {})) {
    const named = schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema;
    for (const example of named.examples ?? []) {
      const code = element("pre", JSON.stringify(example, null, 2));
      code.tabIndex = 0;
      block.append(code);
    }
  }
  return block;
}

async function render() {
  const section = document.getElementById("operations");
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
    const { paths, components } = await response.json();
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, described] of Object.entries(methods)) {
        section.append(operation(method, path, described, components.schemas));
      }
    }
  } catch (error) {
    section.hidden = true;
    document.getElementById("error").textContent = `The description of the API cannot be loaded (${error.message}); try again soon.`;
    document.getElementById("error").hidden = false;
  }
  section.setAttribute("aria-busy", "false");
}

render();
