// Patching: changes the elements of the page in place to equal new ones, so that focus, scrolling and choices stay.

const identity = (node) => `${node.nodeName} ${(node.dataset && node.dataset.key) || ""}`;

// Two children match if tag and data-key are equal; of several that match, the first one is taken.
function patchChildren(old, fresh) {
  const left = [...old.childNodes];
  const placed = fresh.filter((node) => node !== null).map((node) => {
    const found = left.findIndex((one) => identity(one) === identity(node));
    return found < 0 ? node : patch(left.splice(found, 1)[0], node);
  });
  // Remove first: elements that stay then need not be moved, which would take the focus from them.
  left.forEach((node) => node.remove());
  let next = old.firstChild;
  for (const node of placed) {
    if (node === next) next = next.nextSibling;
    else old.insertBefore(node, next);
  }
}

// An element with adopt(fresh) takes over the state of the new one that is not in the document.
function patch(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return old;
  }
  for (const { name } of [...old.attributes]) {
    if (!kept(old, name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (!kept(old, name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  if (old.adopt) old.adopt(fresh);
  else patchChildren(old, [...fresh.childNodes]);
  return old;
}

// Not patched: opened details, the size of a canvas, and style, which the content security policy allows only scripts to set.
function kept(element, name) {
  return name === "style" || (element.nodeName === "DETAILS" && name === "open") ||
    (element.nodeName === "CANVAS" && (name === "width" || name === "height"));
}
