// The queues: the counts of the broker beside those of events, and why the two differ.

const { make, seconds } = ProjReport;

// Age in seconds from which the page says when the broker was asked.
const OLD_S = 5;

const count = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en"));

export function shownQueues({ queues, events }) {
  return make("section", { class: "dispatch-card", "data-key": "queues", "aria-labelledby": "dispatch-queues" },
    make("h2", { class: "worker-panel-title", id: "dispatch-queues" }, "Queues"),
    queues.length ? table(queues) : null,
    make("p", { class: "dispatch-events" }, told(events)));
}

function table(queues) {
  const group = (text) => make("th", { scope: "colgroup", colspan: "2", class: "pair" }, text);
  const tall = (text) => make("th", { scope: "col", rowspan: "2" }, text);
  const says = (text) => make("th", { scope: "col", class: "number" }, text);
  const head = make("thead", {},
    make("tr", {}, tall("queue"), tall("consumers"), group("ready"), group("unacknowledged"), tall("why they differ")),
    make("tr", {}, says("broker says"), says("events say"), says("broker says"), says("events say")));
  // Focusable, so that the keyboard can scroll a table that is wider than the screen.
  return make("div", { class: "dispatch-scroll", tabindex: "0", role: "group", "aria-label": "Queues" },
    make("table", { class: "dispatch-table dispatch-queues" },
      make("caption", {}, "Messages in the queues, counted by the broker and by events"),
      head, make("tbody", {}, ...queues.map(row))));
}

function row({ queue, type, broker, events, explanation }) {
  const number = (value) => make("td", { class: "number" }, count(value));
  return make("tr", { "data-key": queue },
    make("th", { scope: "row" }, queue, type ? make("span", { class: "dispatch-type" }, ` ${type}`) : null),
    make("td", {}, broker ? consumers(broker) : "–"),
    number(broker && broker.ready), number(events.ready),
    number(broker && broker.unacknowledged), number(events.unacknowledged),
    make("td", { class: "dispatch-why" }, why(broker, explanation)));
}

function why(broker, explanation) {
  const old = broker && broker.age_s > OLD_S ? `The broker was asked ${seconds(broker.age_s)} ago.` : "";
  return [explanation || "", old].filter(Boolean).join(" ");
}

function consumers({ consumers: all, windows }) {
  const total = (what) => windows.reduce((sum, one) => sum + one[what], 0);
  const said = windows.map(({ window, channels, acknowledges }) => {
    const size = window === null ? "window not known" : window === 0 ? "no limit" : `window ${count(window)}`;
    return `${windows.length > 1 ? `${count(channels)} with ` : ""}${size}${acknowledges ? "" : ", not acknowledging"}`;
  });
  // In adaptive dispatch a worker has several consumers of a queue on its channel, and their windows count together.
  const channels = total("channels");
  const on = channels < total("consumers") ? ` on ${count(channels)} channel${channels === 1 ? "" : "s"}` : "";
  return [`${count(all)}${on}`, ...said].join(" · ");
}

function told({ heard, lost, refused, dropped }) {
  const odd = [[lost, "known to be lost"], [refused, "refused"], [dropped, "dropped"]];
  const some = odd.filter(([number]) => number).map(([number, word]) => `${count(number)} ${word}`);
  return `Events: ${count(heard)} received, ${some.length ? some.join(", ") : "none known to be lost, refused or dropped"}.`;
}
