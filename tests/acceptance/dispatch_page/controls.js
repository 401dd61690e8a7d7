// What a keyboard or a screen reader would miss in the Dispatch page: names, landmarks, headings, the seen focus.
(() => {
    const wrong = [];
    const main = document.querySelector("main");
    const seen = (one) => one.getClientRects().length > 0;
    const named = (one) => one.ariaLabel || one.labels?.[0]?.innerText || one.innerText || one.title;
    const controls = [...main.querySelectorAll("a[href], button, input, select, summary, [tabindex]")].filter(seen);
    for (const one of controls) {
        if (!named(one)?.trim()) wrong.push(`no name: ${one.outerHTML.slice(0, 80)}`);
        if (one.tabIndex < 0) wrong.push(`not reached: ${one.outerHTML.slice(0, 80)}`);
        if (one.tabIndex > 0) wrong.push(`out of order: ${one.outerHTML.slice(0, 80)}`);
    }
    for (const one of [controls[0], main.querySelector(".now-toggle")].filter(Boolean)) {
        one.focus({ focusVisible: true });
        if (getComputedStyle(one).outlineStyle === "none") wrong.push(`focus not seen: ${one.outerHTML.slice(0, 80)}`);
    }
    if (document.querySelectorAll("main").length !== 1) wrong.push("not one main landmark");
    for (const one of main.querySelectorAll("nav, section, [role=group]")) {
        if (!one.ariaLabel && !one.getAttribute("aria-labelledby")) wrong.push(`no name: ${one.outerHTML.slice(0, 80)}`);
    }
    const headings = [...main.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(seen).map((one) => +one.tagName[1]);
    if (headings[0] !== 1) wrong.push("the first heading is not the page's");
    headings.forEach((level, at) => { if (at && level > headings[at - 1] + 1) wrong.push(`heading ${at} leaves one out`); });
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    for (const id of ids.filter((one, at) => ids.indexOf(one) !== at)) wrong.push(`two have the id ${id}`);
    for (const one of main.querySelectorAll("table")) if (!one.caption) wrong.push("a table without a caption");
    return wrong;
})()
