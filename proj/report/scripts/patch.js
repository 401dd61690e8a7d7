// Patching: what is on the page becomes like what was freshly made, in place: focus, scrolling and choices stay.

const identity = (node) => `${node.nodeName} ${(node.dataset && node.dataset.key) || ""}`;

// Children are the same when their tag and data-key are; the first of several alike goes to the first.
function patchChildren(old, fresh) {
  const left = [...old.childNodes];
  const placed = fresh.filter((node) => node !== null).map((node) => {
    const found = left.findIndex((one) => identity(one) === identity(node));
    return found < 0 ? node : patch(left.splice(found, 1)[0], node);
  });
  // First out with what is gone: then what stays need not be moved, which would cost it the focus.
  left.forEach((node) => node.remove());
  let next = old.firstChild;
  for (const node of placed) {
    if (node === next) next = next.nextSibling;
    else old.insertBefore(node, next);
  }
}

// An element with adopt(fresh) takes over by itself what cannot be seen in the document.
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

// What the reader opened, what was drawn, and what a content security policy lets only a script set.
function kept(element, name) {
  return name === "style" || (element.nodeName === "DETAILS" && name === "open") ||
    (element.nodeName === "CANVAS" && (name === "width" || name === "height"));
}
