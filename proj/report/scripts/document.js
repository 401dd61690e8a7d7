// The document: its sections from top to bottom, and the scales that all runs share.

// Runs that one sees at a glance.
const GLANCE = 3;

// `glance: false` leaves out the section "At a glance", for a page that has its own; `worstFirst` orders many timelines;
// linkOf(task, words) makes a link to a task.
function contents(state, data, { glance: withGlance = true, worstFirst: ordered = false, linkOf = null }) {
  const scales = scalesOf(data.runs, data.together);
  const { offenders, facts, figures } = data.tables;
  return [
    data.notes.length ? make("ul", { class: "notes" }, ...data.notes.map((note) => make("li", {}, note))) : null,
    withGlance ? glance(data.runs, scales) : null,
    timelines(state, data.together ? [data.together] : ordered ? worstFirst(data.runs) : data.runs, scales, data.runs),
    depths(state, data.runs, scales),
    waits(state, data, scales),
    offenders.rows.length ? section("Longest avoidable waits", table(offenders, linkOf)) : null,
    section("All figures", table(figures)),
    facts.rows.length ? section("How it was made", table(facts)) : null,
  ].filter((part) => part !== null);
}

function scalesOf(runs, together) {
  const all = together ? [...runs, together] : runs;
  const most = (values) => values.reduce((one, other) => Math.max(one, other), 0);
  return {
    span: most(all.map((run) => run.span_s)) || 1,
    longest: most(runs.flatMap((run) => [run.figures.makespan_s, run.figures.ideal_s])),
    held: most(all.flatMap((run) => run.groups.flatMap((group) => group.held.values))),
    depth: most(runs.flatMap((run) => depthLines(run).flatMap((one) => one.series.values))),
    wait: most(runs.flatMap((run) => Object.values(run.waits).map((times) => times.at(-1) || 0))) || 1,
  };
}

function glance(runs, scales) {
  return section("At a glance",
    lead("Bar: the makespan, from the first publish to the last finish. Line in the bar: the ideal, the least " +
      "makespan that any dispatcher could reach. Avoidable wait: the time in which a busy worker held messages " +
      "while another worker of their queue had a free slot."),
    make("div", { class: "cards" }, ...runs.map((run) => card(run, scales.longest))));
}

function card(run, longest) {
  const figures = run.figures;
  const bar = make("div", { class: "filled" });
  bar.style.width = `${longest ? 100 * figures.makespan_s / longest : 0}%`;
  const mark = make("div", { class: "mark" });
  mark.style.left = `${longest ? 100 * figures.ideal_s / longest : 0}%`;
  const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  const ideal = seconds(figures.ideal_s);
  return make("article", { class: "card" },
    make("h3", {}, run.name),
    run.dispatch && run.dispatch !== run.name ? make("p", { class: "mode" }, run.dispatch) : null,
    make("p", { class: "big" }, seconds(figures.makespan_s)),
    make("p", { class: "under" }, `makespan, ${figures.ratio.toFixed(2)} times the ideal of ${ideal}`),
    make("div", { class: "meter", "aria-hidden": "true" }, bar, mark),
    make("dl", {},
      fact("avoidable wait", seconds(figures.avoidable_wait_s)),
      fact("utilisation", `${(figures.utilisation * 100).toFixed(1)} %`),
      fact("Jain, busy time", figures.jain_busy.toFixed(3)),
      fact("Jain, counts", figures.jain_counts.toFixed(3))));
}

// More runs than one sees at a glance are in the order of their avoidable wait.
function worstFirst(runs) {
  if (runs.length <= GLANCE) return runs;
  return [...runs].sort((one, other) => other.figures.avoidable_wait_s - one.figures.avoidable_wait_s);
}

function timelines(state, runs, scales, measured) {
  const bars = runs.flatMap((run) => run.groups.flatMap((group) => group.lanes.flat()));
  const kinds = new Set(["running", "held", ...bars.map((bar) => bar[2])]);
  return section("Who did what, when",
    lead("One lane for each slot; all runs have the same scale of time, with the time of the day (UTC) below it. " +
      "Below the lanes of a worker: the messages that it held. Point at a bar to read it, or move from bar to bar " +
      "with the arrow keys." + (state.openBar ? " A click or Enter shows the task of a bar: its attempts, and the way to Flower's page of it." : "")),
    legend(state, kindsOf(kinds, runs.some((run) => run.live))),
    zoomButtons(state),
    ...runs.map((run) => figure(run.name, run.figures ? [` ${subtitle(run.figures)}`] : [],
      queueLegend(state, run.queues || []),
      ...timeline(state, run, scales.span, scales.held),
      run.workers ? folded(run.workers) : null)),
    ...(runs === measured || runs.length === measured.length ? [] : measured.map((run) => figure(
      `${run.name}: workers`, [` ${subtitle(run.figures)}`], folded(run.workers)))));
}

function subtitle(figures) {
  const odd = [[figures.redelivered, "redelivered"], [figures.lost, "lost"]].filter(([count]) => count);
  return [`${amount(figures.tasks, "task")} on ${amount(figures.slots, "slot")}`,
    ...odd.map(([count, word]) => `${count.toLocaleString("en")} ${word}`)].join(", ");
}

function depths(state, runs, scales) {
  return section("Depth of the queues",
    lead(runs.every((run) => run.depths_source === "broker")
      ? "As the broker counted them. Ready: waiting in the broker. Unacknowledged: with a worker."
      : "Counted from the attempts, where the broker reported no depths: sent, and not yet received by a worker."),
    make("div", { class: "panels two" }, ...runs.map((run) => figure(run.name, [],
      depthChart(state, run, scales.span, scales.depth),
      legend(state, depthLines(run).map((one, look) => [look, one.words])),
      folded(run.depth)))));
}

function waits(state, { runs, tables }, scales) {
  const modeOf = (run) => run.dispatch || run.name;
  const modes = [...new Set(runs.map(modeOf))];
  // If there are several runs of several modes, each mode has one look; otherwise each run has one.
  const nameOf = modes.length > 1 && modes.length < runs.length ? modeOf : (run) => run.name;
  const names = nameOf === modeOf ? modes : runs.map(nameOf);
  const charts = [["broker", "In the broker"], ["held", "Held by a worker"], ["avoidable", "Held beside a free slot"]];
  return section("How long messages waited",
    lead("The share of attempts that waited at most so many seconds. The further left a line rises, the shorter " +
      "the waits."),
    legend(state, names.map((name, look) => [look, name])),
    make("div", { class: "panels three" }, ...charts.map(([kind, title]) => figure(title, [],
      waitChart(state, kind, title, runs, scales.wait, (run) => names.indexOf(nameOf(run)))))),
    folded(tables.waits));
}
