// Elements of the page. Text from the data is inserted as text nodes, never as markup.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function section(title, ...children) {
  return make("section", { "data-key": title, "aria-label": title }, make("h2", {}, title), ...children);
}

function lead(text) {
  return make("p", { class: "lead" }, text);
}

function figure(name, words, ...children) {
  return make("figure", { "data-key": name }, make("figcaption", {}, make("strong", {}, name), ...words), ...children);
}
