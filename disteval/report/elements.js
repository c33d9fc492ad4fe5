// HTML and SVG elements.

// Creates an element. Children that are strings become text nodes, so that data is never read as HTML.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Creates the header of a table's row or column; CSS cuts off a long name.
export function header(scope, name) {
  return element("th", { scope, title: name }, element("span", { class: "cut" }, name));
}

// Replaces the options of a select, given as [value, text], and hides it if there is only one.
export function fillSelect(select, options, chosen) {
  select.replaceChildren(
    ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)),
  );
  select.closest("label").hidden = options.length < 2;
}
