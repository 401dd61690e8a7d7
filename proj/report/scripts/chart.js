// Line charts: the depth of the queues over time, and the distribution of waits.

function depthLines(run) {
  return run.depths.flatMap((depth) => [
    { series: depth.ready, words: `${depth.queue}: ready` },
    ...(depth.unacknowledged ? [{ series: depth.unacknowledged, words: `${depth.queue}: unacknowledged` }] : []),
  ]);
}

function depthChart(state, run, span, most) {
  const description =
    `Depth of the queues of ${run.name} over time, at most ${most} messages. The table below has the peaks.`;
  return picture(state, description, 170, 690, (context, width, height, colour) => {
    const left = 8 + context.measureText(most.toLocaleString("en")).width + 6;
    const right = width - 10;
    const bottom = height - 24;
    const x = timeAxis(context, colour, left, right, 8, bottom, span);
    const y = (value) => bottom - (bottom - 12) * (most ? value / most : 0);
    levelAxis(context, colour, left, right, y, countTicks(most, 4), (mark) => mark.toLocaleString("en"));
    depthLines(run).forEach(({ series: { times, values } }, place) => {
      if (!times.length) return;
      const points = times.map((time, at) => [x(time), y(values[at])]);
      const end = x(Math.max(Math.min(span, run.span_s), times.at(-1)));
      dashed(context, colour, place, () => steps(context, points[0], points, end));
    });
  });
}

function waitChart(state, kind, title, runs, most, lookOf) {
  const worst = runs.map((run) => `${run.name} at most ${seconds(run.waits[kind].at(-1) || 0)}`).join(", ");
  const description = `${title}: share of attempts that waited at most so many seconds; ${worst}.`;
  return picture(state, description, 230, 215, (context, width, height, colour) => {
    const left = context.measureText("100 %").width + 10;
    const right = width - 12;
    const bottom = height - 24;
    const x = timeAxis(context, colour, left, right, 10, bottom, most);
    const y = (share) => bottom - (bottom - 12) * share;
    levelAxis(context, colour, left, right, y, [0, 0.25, 0.5, 0.75, 1], (mark) => `${mark * 100} %`);
    for (const run of runs) {
      const waits = run.waits[kind];
      if (!waits.length) continue;
      const points = waits.map((wait, place) => [x(wait), y((place + 1) / waits.length)]);
      dashed(context, colour, lookOf(run), () => steps(context, [x(0), y(0)], points, right));
    }
  });
}
