// Makes the page from /openapi.json. Everything is put in as text, never as markup.

/** An element with attributes and children; texts become text. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text in which `code` is marked. */
function prose(text) {
  return (text ?? "").split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

const anchor = (method, path) => `${method}${path}`.replace(/[^a-z0-9]+/gi, "-").replace(/-$/, "");

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(typeOf).join(" or ");
  if (schema.allOf) return schema.allOf.map(typeOf).join(" and ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const type = [schema.type ?? "anything"].flat().join(" or ");
  return schema.format ? `${type} (${schema.format})` : type;
}

function bounds(schema = {}) {
  const { minimum, maximum } = schema;
  const range = minimum !== undefined && maximum !== undefined ? `${minimum} to ${maximum}` : "";
  const standard = schema.default !== undefined ? `default ${schema.default}` : "";
  return [typeOf(schema), range, standard].filter(Boolean).join(", ");
}

function table(rows) {
  return el("table", {}, el("tbody", {}, ...rows.map(([name, ...about]) =>
    el("tr", {}, el("td", {}, ...[name].flat()), el("td", {}, ...about.flat())))));
}

function parameters(list = []) {
  if (!list.length) return [];
  const rows = list.map((one) => [
    [el("code", {}, one.name), el("small", {}, one.in + (one.required ? ", needed" : ""))],
    prose(one.description),
    el("small", {}, bounds(one.schema)),
  ]);
  return [el("h4", {}, "Parameters"), table(rows)];
}

function kinds(content = {}) {
  const known = Object.entries(content).map(([kind, { schema }]) => `${kind}: ${typeOf(schema)}`);
  return known.length ? el("small", {}, known.join(" · ")) : null;
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, one]) => [
    el("code", {}, status),
    prose(one.description),
    ...Object.entries(one.headers ?? {}).map(([name, header]) => el("small", {}, `${name}: ${header.description}`)),
    kinds(one.content),
  ].filter(Boolean));
  return [el("h4", {}, "Answers"), table(rows)];
}

/** A line for the shell, where one is of use. */
function example(method, path, operation) {
  const list = operation.parameters ?? [];
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => list.find((one) => one.name === name)?.example ?? name);
  const filter = list.find((one) => one.name === "filter")?.example;
  const query = filter ? `?filter=${filter.replace("#", "%23")}` : "";
  const address = `'${location.origin}${filled}${query}'`;
  if (path === "/v1/ws") return null;
  if (method === "get") return `curl ${path === "/v1/live" ? "-N " : ""}${address}`;
  if (path === "/v1/events") {
    const event = { specversion: "1.0", id: "1", source: "/checkout", type: "orders.paid", data: { no: 17 } };
    return `curl ${address} -H 'Content-Type: application/cloudevents+json' -d '${JSON.stringify(event)}'`;
  }
  return `curl ${address} -H 'Content-Type: text/plain' -d 'taken'`;
}

function route(method, path, operation) {
  const line = example(method, path, operation);
  const body = operation.requestBody;
  return el("article", { id: anchor(method, path) },
    el("header", {}, el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path), el("h3", {}, operation.summary)),
    operation.description ? el("p", {}, ...prose(operation.description)) : null,
    ...parameters(operation.parameters),
    ...(body ? [el("h4", {}, "Body"), table([[el("code", {}, "body"), prose(body.description), kinds(body.content)].filter(Boolean)])] : []),
    ...answers(operation.responses),
    ...(line ? [el("h4", {}, "From a shell"), el("pre", { tabindex: "0" }, line)] : []),
  );
}

function schema(name, one) {
  const needed = new Set(one.required ?? []);
  const rows = Object.entries(one.properties ?? {}).map(([member, about]) => [
    [el("code", {}, member), el("small", {}, needed.has(member) ? "always" : "sometimes")],
    prose(about.description),
    el("small", {}, bounds(about)),
  ]);
  return el("article", { id: `schema-${name}` },
    el("header", {}, el("h3", {}, name), el("code", {}, rows.length ? "" : typeOf(one))),
    one.description ? el("p", {}, ...prose(one.description)) : null,
    rows.length ? table(rows) : null);
}

function show(description) {
  const all = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })));
  document.getElementById("about").replaceChildren(...prose(description.info.description));
  document.getElementById("contents").append(el("ul", {}, ...all.map(({ method, path }) =>
    el("li", {}, el("a", { href: `#${anchor(method, path)}` },
      el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path))))));
  for (const tag of description.tags) {
    const tagged = all.filter(({ operation }) => operation.tags[0] === tag.name);
    document.getElementById("routes").append(
      el("h2", {}, tag.description), ...tagged.map(({ method, path, operation }) => route(method, path, operation)));
  }
  document.getElementById("schemas-title").hidden = false;
  document.getElementById("schemas").append(
    ...Object.entries(description.components.schemas).map(([name, one]) => schema(name, one)));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  show(await answer.json());
} catch (error) {
  document.getElementById("about").textContent = `The description can't be read: ${error.message}`;
}
