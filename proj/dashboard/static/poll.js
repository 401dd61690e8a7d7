// Polling: asks the server once a second while the tab is visible and the page is not paused.

const INTERVAL_MS = 1000;
// The longest interval; after each failure in a row, the interval doubles.
const MOST_MS = 5000;
const TIMEOUT_MS = 10000;

const find = (name) => document.getElementById(`dispatch-${name}`);

class Trouble extends Error {}

function because(words) {
  return () => { throw new Trouble(words); };
}

async function ask(address, format, signal) {
  const answer = await fetch(address, { cache: "no-store", redirect: "manual", signal })
    .catch(because("The server does not answer."));
  if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
    throw new Trouble("The server asks for a new login: reload this page.");
  }
  if (!answer.ok) throw new Trouble(`The server answers with an error (${answer.status}).`);
  const data = await answer.json().catch(because("The server's answer is not JSON."));
  if (!("format" in data)) throw new Trouble("The server has nothing to show yet.");
  if (data.format !== format || data.version !== 1) {
    throw new Trouble("The server has another version than this page: reload this page.");
  }
  // Both times are of the server's clock, because the browser's may differ.
  const now = Date.parse(answer.headers.get("Date")) / 1000;
  return { data, lag: Math.max(0, (now || data.as_of) - data.as_of) };
}

// `address()` gives the address to ask; `show(data, before)` shows an answer, and `showState()` what changes by the
// clock alone. The state has data: the last answer; received and lag: its time and age; trouble and failures: the last
// failure, and how many there were in a row.
export function polling({ format, address, show, showState }) {
  const state = { data: null, received: 0, lag: 0, paused: false, trouble: null, failures: 0 };
  const pause = find("pause");
  let timer = 0;
  let asking = null;
  // For tests: how long the last refresh and its drawing took, and how many there were.
  window.projDispatch = { lastRefreshMs: null, lastDrawMs: null, refreshes: 0 };

  const schedule = (wait) => {
    clearTimeout(timer);
    if (!state.paused && !document.hidden) timer = setTimeout(refresh, wait);
  };
  const halt = () => {
    clearTimeout(timer);
    if (asking) asking.abort();
    asking = null;
  };
  const fail = (trouble) => {
    if (!state.trouble) announce(trouble);
    state.trouble = trouble;
    state.failures += 1;
    showState();
  };
  async function refresh() {
    halt();
    const mine = asking = new AbortController();
    const late = setTimeout(() => mine.abort(), TIMEOUT_MS);
    const begun = performance.now();
    try {
      const { data, lag } = await ask(address(), format, mine.signal);
      if (mine !== asking) return;
      const came = performance.now();
      const before = state.data;
      Object.assign(state, { data, lag, received: came, trouble: null, failures: 0 });
      show(data, before);
      showState();
      window.projDispatch.lastDrawMs = performance.now() - came;
      window.projDispatch.lastRefreshMs = performance.now() - begun;
      window.projDispatch.refreshes += 1;
    } catch (error) {
      if (mine !== asking) return;
      fail(error instanceof Trouble ? error.message : "This page cannot show the server's answer.");
      if (!(error instanceof Trouble)) console.error(error);
    } finally {
      clearTimeout(late);
      if (mine === asking) {
        asking = null;
        schedule(Math.min(MOST_MS, INTERVAL_MS * 2 ** state.failures));
      }
    }
  }

  pause.addEventListener("click", () => {
    state.paused = !state.paused;
    pause.setAttribute("aria-pressed", state.paused);
    if (state.paused) halt();
    else refresh();
    showState();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) halt();
    else if (!state.paused) refresh();
  });
  setInterval(() => { if (!state.paused && !document.hidden) showState(); }, INTERVAL_MS);
  return { state, refresh };
}

// A screen reader reads this out, so it is set only when something has happened.
export function announce(words) {
  if (words) find("news").textContent = words;
}

export function showStatus({ words, dot }) {
  find("status").textContent = words;
  find("dot").className = `status-dot ${dot}`;
}

// Keeps a choice in the page's address; empty is the choice that needs no mention.
export function keepInAddress(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}
