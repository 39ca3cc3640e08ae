// What the page knows, and what it can do. Components read signals; only the functions of this file write them.
import { batch, computed, signal } from '@preact/signals';

import { ApiError, deleteJson, getJson, postJson, query as runQuery, tail } from './api.js';
import { filterPart, searchedWords, withTerm } from './query.js';
import { toMs } from './time.js';
import { formatUrl, parseUrl } from './url.js';

const PAGE_ROWS = 200;
/** More rows than anybody scrolls through; then the range has to become narrower. */
export const ROWS_MAX = 20_000;
/** Live rows that wait while the reader is further down. */
const WAITING_MAX = 1_000;
const LIVE_BATCH_MS = 120;
const LIVE_HITS_EVERY_MS = 5_000;
const BUCKETS = 80;
const ALERTS_EVERY_MS = 5_000;

/** The view that the address bar shows. */
export const view = signal(parseUrl(location.pathname, location.search));
/** The text in the box, which may be ahead of what was asked. */
export const draft = signal(view.value.query);

/** `idle`, `running`, `done` or `failed` */
export const phase = signal('idle');
export const problem = signal(null);
export const warnings = signal([]);
export const columns = signal([]);
export const isEvents = signal(true);
export const rows = signal([]);
export const end = signal(null);
export const progress = signal(null);
export const loadingMore = signal(false);
export const hits = signal(null);
export const alerts = signal([]);
export const silences = signal([]);
export const liveState = signal({ waiting: 0, dropped: 0, trouble: '' });
export const currentId = signal('');
export const openId = signal('');
export const helpOpen = signal(false);
export const now = signal(Date.now());

export const words = computed(() => searchedWords(view.value.query));
export const places = computed(() => new Map(rows.value.map((row, index) => [row.id, index])));
/** The range spans more than a day, so that times need their day. */
export const withDay = computed(() => {
  const { from, to } = view.value;
  const span = toMs(to, now.value) - toMs(from, now.value);
  return !(span <= 20 * 36e5);
});

let running = null;
let live = null;
let waiting = [];

/** Changes the view and asks again. `replace` keeps the history as it is. */
export function go(change, replace = false) {
  const next = { ...view.value, event: '', ...change };
  const url = formatUrl(next);
  if (url !== location.pathname + location.search) history[replace ? 'replaceState' : 'pushState'](null, '', url);
  show(next);
}

/** Takes over a view: from `go`, or from the address after "back". */
export function show(next) {
  batch(() => {
    view.value = next;
    draft.value = next.query;
    openId.value = next.event;
    currentId.value = next.event;
  });
  run();
}

export function addFilter(field, value, exclude) {
  go({ query: withTerm(view.value.query, field, value, exclude) });
}

export function cancel() {
  if (phase.value !== 'running') return false;
  running?.abort();
  return true;
}

function request(cursor) {
  const { query, from, to } = view.value;
  const body = { query, from, limit: PAGE_ROWS };
  if (to) body.to = to;
  if (cursor) body.cursor = cursor;
  return body;
}

/** Asks for the first page, the histogram, and the tail when live. What is shown stays until the answer is there. */
export async function run() {
  running?.abort();
  stopLive();
  const mine = new AbortController();
  running = mine;
  now.value = Date.now();
  batch(() => {
    phase.value = 'running';
    problem.value = null;
    progress.value = null;
  });
  if (view.value.event) return showEvent(view.value.event, mine);
  loadHits(mine.signal);
  try {
    await page(null, mine.signal, true);
    if (mine.signal.aborted) return;
    phase.value = 'done';
    if (view.value.live && isEvents.value) startLive();
  } catch (error) {
    failed(error, mine);
  }
}

function failed(error, mine) {
  if (running !== mine) return;
  batch(() => {
    progress.value = null;
    phase.value = mine.signal.aborted ? 'done' : 'failed';
    if (!mine.signal.aborted) problem.value = error;
  });
}

/** One page; the first replaces what is shown as soon as its first rows are there. */
async function page(cursor, abort, first) {
  let fresh = first;
  const begin = () => {
    if (!fresh) return;
    fresh = false;
    rows.value = [];
    end.value = null;
  };
  for await (const frames of runQuery(request(cursor), abort)) {
    if (abort.aborted) return;
    batch(() => {
      const added = [];
      for (const frame of frames) {
        if (frame.t === 'row') added.push(frame);
        if (frame.t === 'progress') progress.value = frame;
        if (frame.t === 'meta' && first) {
          columns.value = frame.columns;
          warnings.value = frame.warnings;
          if (isEvents.value !== frame.events) begin();
          isEvents.value = frame.events;
        }
        if (frame.t === 'end') {
          begin();
          if (frame.warnings) warnings.value = warnings.value.concat(frame.warnings);
          end.value = frame;
          progress.value = null;
        }
      }
      if (added.length) {
        begin();
        rows.value = rows.value.concat(added);
      }
    });
  }
}

/** The next page, when there is one and none is on its way. */
export async function more() {
  const cursor = end.value?.cursor;
  if (!cursor || loadingMore.value || phase.value !== 'done' || rows.value.length >= ROWS_MAX) return;
  const mine = running;
  loadingMore.value = true;
  try {
    await page(cursor, mine.signal, false);
  } catch (error) {
    failed(error, mine);
  } finally {
    loadingMore.value = false;
  }
}

async function loadHits(abort) {
  const { query, from, to } = view.value;
  const body = { query, from, buckets: BUCKETS, by: 'level' };
  if (to) body.to = to;
  try {
    const answer = await postJson('/api/v1/hits', body, abort);
    if (!abort.aborted) hits.value = answer;
  } catch {
    // The query itself reports what is wrong; a histogram without it would say it twice.
    if (!abort.aborted) hits.value = null;
  }
}

/** `/e/ID`: one event, open. */
async function showEvent(id, mine) {
  hits.value = null;
  try {
    const answer = await getJson(`/api/v1/events/${id}`, mine.signal);
    const row = { id, ...(answer.event ?? answer.row ?? answer) };
    batch(() => {
      isEvents.value = true;
      warnings.value = [];
      rows.value = [row];
      end.value = { complete: true, rows: 1, missing: [] };
      phase.value = 'done';
    });
  } catch (error) {
    rows.value = [];
    end.value = null;
    failed(error, mine);
  }
}

/** All fields and the raw line of one event, for its detail. */
export async function wholeEvent(id) {
  const answer = await getJson(`/api/v1/events/${id}`);
  return answer.event ?? answer.row ?? answer;
}

// Live tail.

export function toggleLive() {
  go({ live: !view.value.live, to: '' }, true);
}

export function stopLive() {
  live?.abort();
  live = null;
  waiting = [];
  liveState.value = { waiting: 0, dropped: 0, trouble: '' };
}

/** Told by the rows: the reader sees the top, so that new rows may come in without a jump. */
export let atTop = true;
export function setAtTop(value) {
  if (value && !atTop) queueMicrotask(release);
  atTop = value;
}

/** Lets the waiting rows in. */
export function release() {
  if (!waiting.length) return;
  const fresh = waiting;
  waiting = [];
  const known = places.value;
  const added = fresh.filter((row) => !known.has(row.id));
  batch(() => {
    // Services deliver at different speeds: what came later may belong below. Ids sort as their events do.
    rows.value = added.concat(rows.value).sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, ROWS_MAX);
    liveState.value = { ...liveState.value, waiting: 0 };
    now.value = Date.now();
  });
}

function take(row) {
  waiting.unshift(row);
  if (waiting.length > WAITING_MAX) {
    waiting.length = WAITING_MAX;
    liveState.value = { ...liveState.value, dropped: liveState.value.dropped + 1 };
  }
}

async function startLive() {
  const mine = new AbortController();
  live = mine;
  let lastId = rows.value[0]?.id ?? '';
  let timer = 0;
  let delay = 500;
  const histogram = setInterval(() => loadHits(mine.signal), LIVE_HITS_EVERY_MS);
  mine.signal.addEventListener('abort', () => clearInterval(histogram));
  const arrived = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      if (mine.signal.aborted) return;
      if (atTop) release();
      else liveState.value = { ...liveState.value, waiting: waiting.length };
    }, LIVE_BATCH_MS);
  };
  while (!mine.signal.aborted) {
    try {
      const parameters = { query: filterPart(view.value.query) };
      for await (const events of tail(parameters, lastId, mine.signal)) {
        delay = 500;
        if (liveState.value.trouble) liveState.value = { ...liveState.value, trouble: '' };
        for (const event of events) {
          const frame = JSON.parse(event.data);
          if (event.id) lastId = event.id;
          if (frame.t === 'row') take(frame);
          if (frame.t === 'dropped') {
            liveState.value = { ...liveState.value, dropped: liveState.value.dropped + frame.n };
          }
        }
        arrived();
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) {
        liveState.value = { ...liveState.value, trouble: error.message };
        return;
      }
    }
    if (mine.signal.aborted) return;
    liveState.value = { ...liveState.value, trouble: 'reconnecting' };
    await new Promise((resolve) => { setTimeout(resolve, delay); });
    delay = Math.min(delay * 2, 10_000);
  }
}

// Alerts.

export async function pollAlerts() {
  for (;;) {
    if (!document.hidden) {
      await askAlerts();
      now.value = Date.now();
    }
    await new Promise((resolve) => { setTimeout(resolve, ALERTS_EVERY_MS); });
  }
}

async function askAlerts() {
  try {
    const [first, second] = await Promise.all([getJson('/api/v1/alerts'), getJson('/api/v1/silences')]);
    batch(() => {
      alerts.value = first.alerts;
      silences.value = second.silences;
    });
  } catch {
    // The strip shows what was known last; the query reports a server that is gone.
  }
}

/** The three below throw what the server says, and have its new state when they are done. */
export async function acknowledge(id, by, comment) {
  await postJson(`/api/v1/alerts/${encodeURIComponent(id)}/ack`, { by, comment });
  await askAlerts();
}

export async function silence(body) {
  await postJson('/api/v1/silences', body);
  await askAlerts();
}

export async function endSilence(id) {
  await deleteJson(`/api/v1/silences/${encodeURIComponent(id)}`);
  await askAlerts();
}
