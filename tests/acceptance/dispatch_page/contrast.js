// The texts and drawings of the Dispatch page whose contrast to what is behind them is too small (WCAG 2.2 AA).
(() => {
    const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
    const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
    const light = (rgb) => rgb.map((one) => one / 255)
        .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const contrast = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
        return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const chartsOf = (root) => {
        const found = [];
        const probe = root.appendChild(document.createElement("i"));
        const colour = (name) => {
            probe.style.color = `var(--pr-${name})`;
            return parse(getComputedStyle(probe).color).slice(0, 3);
        };
        const [surface, lane] = [colour("surface"), colour("lane")];
        const pairs = ["ink", "muted"].map((name) => [name, surface, 4.5]);
        pairs.push(...["running", "redelivered", "failed", "lost", "queue1", "queue2", "queue3", "queue4", "queue5"].map((name) => [name, lane, 3]));
        pairs.push(...["held", "line0", "line1", "line2", "line3"].map((name) => [name, surface, 3]));
        pairs.push(["onrunning", colour("running"), 4.5]);
        pairs.push(...[1, 2, 3, 4, 5].map((one) => ["onrunning", colour(`queue${one}`), 4.5]));
        for (const [name, under, least] of pairs) {
            const ratio = contrast(colour(name), under);
            if (ratio < least) found.push(`--pr-${name}: ${ratio.toFixed(2)}`);
        }
        probe.remove();
        return found;
    };
    const poor = [];
    let texts = 0;
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.getClientRects().length || element.closest("noscript")) continue;
        const under = behind(element);
        const ratio = contrast(over(parse(getComputedStyle(element).color), under), under);
        texts += 1;
        if (ratio < 4.5) poor.push(`${node.data.trim()}: ${ratio.toFixed(2)}`);
    }
    const root = document.querySelector("#dispatch-report");
    if (root) poor.push(...chartsOf(root));
    const drawn = [".dispatch-meter .filled", ".dispatch-meter .ideal", "#dispatch-dot", ".now-mark", ".now-filled"];
    for (const selector of drawn) {
        const element = document.querySelector(selector);
        if (!element) continue;
        const own = parse(getComputedStyle(element).backgroundColor).slice(0, 3);
        const ratio = contrast(own, behind(element.parentElement));
        if (ratio < 3) poor.push(`${selector}: ${ratio.toFixed(2)}`);
    }
    for (const element of document.querySelectorAll(".now-spark")) {
        const ratio = contrast(parse(getComputedStyle(element).stroke), behind(element.parentElement));
        if (ratio < 3) poor.push(`.now-spark: ${ratio.toFixed(2)}`);
    }
    const edge = parse(getComputedStyle(document.querySelector("#dispatch-pause")).borderTopColor).slice(0, 3);
    const ratio = contrast(edge, behind(document.querySelector(".page-header")));
    if (ratio < 3) poor.push(`#dispatch-pause: ${ratio.toFixed(2)}`);
    return { texts, poor };
})()
