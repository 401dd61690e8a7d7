// One card for each group, which is the workers of one queue with the same dispatch mode.

const { make, seconds } = ProjReport;

const count = (number) => number.toLocaleString("en");
const NOT_KNOWN = "–";

export function shownGroups(data) {
  const drawn = new Map(data.report ? data.report.runs.map((run) => [run.name, run]) : []);
  const times = [...drawn.values()].flatMap(({ figures }) => [figures.makespan_s, figures.ideal_s]);
  const longest = times.reduce((one, other) => Math.max(one, other), 0);
  return make("section", { "data-key": "groups", "aria-label": "Dispatch modes side by side" },
    make("div", { class: "dispatch-groups" }, ...worstFirst(data.groups, drawn).map((group) => {
      const run = drawn.get(group.name);
      return card(group, run, longest, goesOn(data, group));
    })),
    data.groups.length ? meaning(data.groups.some(isAdaptive)) : null);
}

// Cards that stay in the order of the run.
const FEW = 3;

function worstFirst(groups, drawn) {
  if (groups.length <= FEW) return groups;
  const avoidable = ({ name }) => (drawn.get(name) ? drawn.get(name).figures.avoidable_wait_s : 0);
  return [...groups].sort((one, other) => avoidable(other) - avoidable(one));
}

// Whether the group still has work; one mode of a run may end before another.
function goesOn({ open, queues }, { queue, busy_slots: busy, held }) {
  const waiting = queues.find((one) => one.queue === queue);
  return open && busy + held + (waiting ? waiting.events.ready : 0) > 0;
}

function card(group, run, longest, open) {
  return make("article", { class: "metric-card dispatch-group", "data-key": group.name },
    make("header", {},
      make("h2", {}, group.dispatch || "mode not known"),
      make("p", { class: "dispatch-queue" }, group.queue || "queue not known")),
    run ? makespan(run.figures, longest, open) : make("p", { class: "dispatch-under" }, "No attempt in this run."),
    make("div", { class: "dispatch-facts" },
      facts([
        ["slots in use", `${count(group.busy_slots)} of ${group.slots ? count(group.slots) : "?"}`],
        ["held", count(group.held + group.in_advance)],
        ["tasks", count(group.tasks)],
        ["busy time", seconds(group.busy_s)],
        ["avoidable wait", run ? seconds(run.figures.avoidable_wait_s) : NOT_KNOWN],
        ["Jain, busy time", run ? run.figures.jain_busy.toFixed(3) : NOT_KNOWN],
        ["Jain, counts", run ? run.figures.jain_counts.toFixed(3) : NOT_KNOWN],
      ]),
      waits(run)),
    workers(group));
}

function makespan(figures, longest, open) {
  const filled = make("div", { class: "filled" });
  filled.style.width = `${longest ? 100 * figures.makespan_s / longest : 0}%`;
  const ideal = make("div", { class: "ideal" });
  ideal.style.left = `${longest ? 100 * figures.ideal_s / longest : 0}%`;
  return make("div", { class: "dispatch-makespan" },
    make("p", { class: "metric-label" }, open ? "Makespan so far" : "Makespan"),
    make("p", { class: "metric-value" }, seconds(figures.makespan_s)),
    make("p", { class: "dispatch-under" },
      make("strong", {}, `${figures.ratio.toFixed(2)} times`),
      ` the ideal of ${seconds(figures.ideal_s)}${open ? ", of the work so far" : ""}`),
    make("div", { class: "dispatch-meter", "aria-hidden": "true" }, filled, ideal));
}

function facts(pairs) {
  return make("dl", {}, ...pairs.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// The quantile by nearest rank; of more than 201 waits, the report has 201 quantiles.
function quantile(ordered, share) {
  return ordered.length ? seconds(ordered[Math.max(0, Math.ceil(share * ordered.length) - 1)]) : NOT_KNOWN;
}

function waits(run) {
  const kinds = [["in the broker", run && run.waits.broker], ["held by a worker", run && run.waits.held]];
  const cells = ([name, times]) => [name, ...[0.5, 0.95].map((share) => quantile(times || [], share))];
  return grid("Waits", ["wait", "median", "95th pct."], kinds.map(cells));
}

const HEARTBEATS = new Map([[true, "up"], [false, "gone"], [null, "not known"]]);

// What a worker had that is gone does not count as running: one with a busy slot ends its last tasks.
function heartbeat({ alive, busy_slots: busy }) {
  return alive === false && busy ? "draining" : HEARTBEATS.get(alive) || NOT_KNOWN;
}

// Whether a worker has told of adaptive dispatch.
const isAdaptive = (group) => group.workers.some((one) => one.given_back !== null);

function workers(group) {
  const told = (number) => (number === null ? NOT_KNOWN : count(number));
  const inAdvance = isAdaptive(group)
    ? [["window", ({ window }) => told(window)], ["given back", ({ given_back: back }) => told(back)]] : [];
  const columns = [
    ["worker", ({ name }) => name],
    ["slots in use", ({ busy_slots: busy, slots }) => `${count(busy)} of ${slots === null ? "?" : count(slots)}`],
    ["held", ({ held, in_advance: more }) => count(held + more)],
    ...inAdvance,
    ["tasks", ({ tasks }) => count(tasks)],
    ["busy time", ({ busy_s: busy }) => seconds(busy)],
    ["heartbeat", heartbeat],
  ];
  const table = grid("Workers", columns.map(([head]) => head),
    group.workers.map((one) => columns.map(([, shown]) => shown(one))));
  // In a narrow card the worker's name is above the other columns.
  table.style.setProperty("--columns", columns.length - 1);
  // Focusable, so that the keyboard can scroll a table that is larger than its box.
  return make("div", {
    class: "dispatch-workers", tabindex: "0", role: "group", "aria-label": `Workers: ${group.name}`,
  }, table);
}

function grid(caption, head, rows) {
  return make("table", { class: "dispatch-table" },
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map(([name, ...cells]) =>
      make("tr", { "data-key": name },
        make("th", { scope: "row" }, name),
        ...cells.map((text) => make("td", text === "gone" ? { class: "dispatch-bad" } : {}, text))))));
}

function meaning(adaptive) {
  const inAdvance = [
    ["held, in adaptive dispatch", "also what a worker has and has not given to its pool, of all its queues. Its last " +
      "heartbeat tells it. No event tells of such a message before, so this time counts as a wait in the broker."],
    ["window", "how many messages a worker in adaptive dispatch asks for at a time, by its last heartbeat."],
    ["given back", "messages that the worker returned to their queues since its start, because none of its slots " +
      "became free in time. Another worker can take them."],
  ];
  const words = [
    ["makespan", "from the first publish to the last finish. The bars of all modes have the same scale."],
    ["ideal", "the shortest makespan that any dispatcher could reach with these slots: the line in the bar. While " +
      "the run goes on, it covers only the work so far."],
    ["held", "received by a worker, but not started."],
    ...(adaptive ? inAdvance : []),
    ["avoidable wait", "time in which a busy worker held messages while another worker of the queue had a free slot."],
    ["Jain's index", "1 when all slots have equal shares, by number of tasks or by busy time; less when some have more."],
  ];
  return make("details", { class: "dispatch-meaning" },
    make("summary", {}, "What the figures mean"),
    facts(words));
}
