// A picture as a palette of at most 256 colours and the place of each pixel in it, base64; the picture is `base64`.
(async (base64) => {
    const picture = new Image();
    picture.src = `data:image/png;base64,${base64}`;
    await picture.decode();
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, picture.width, picture.height);
    const pixels = new Uint32Array(data.buffer);
    const rgb = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
    const times = new Map();
    for (const pixel of pixels) times.set(pixel, (times.get(pixel) || 0) + 1);
    // The colours of surfaces stay as they are. Of the others, those alike in four bits of each part stand for one.
    const SURFACES = 64;
    const kept = new Map();
    for (const [pixel] of [...times].sort((one, other) => other[1] - one[1])) {
        const key = kept.size < SURFACES ? pixel : rgb(pixel).map((part) => part >> 4).join();
        if (kept.size < 256 && !kept.has(key)) kept.set(key, pixel);
    }
    const palette = [...kept.values()].map(rgb);
    const far = ([r, g, b], [red, green, blue]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    const places = new Map();
    for (const pixel of times.keys()) {
        let best = 0;
        const own = rgb(pixel);
        palette.forEach((one, place) => { if (far(one, own) < far(palette[best], own)) best = place; });
        places.set(pixel, best);
    }
    let text = "";
    for (const pixel of pixels) text += String.fromCharCode(places.get(pixel));
    return { width: picture.width, height: picture.height, palette: palette.flat(), pixels: btoa(text) };
})
