// The events: a grid that draws only what is in sight. The focus stays on the grid; `aria-activedescendant` names the
// current row, which is always drawn, so that no key loses it.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { Detail } from './detail.js';
import { html } from './html.js';
import { Level, Text, Time } from './parts.js';
import * as state from './state.js';
import { cell, count, levelClass } from './text.js';
import { rowTime } from './time.js';
import { listPx, rowTop, scrollFor, visibleRange } from './window.js';

const ROW_PX = 24;
/** So many rows before the end the next page is fetched. */
const AHEAD_ROWS = 60;
/** A message is drawn up to here in its row; the open event has all of it. */
const MESSAGE_CHARS_MAX = 600;

let viewport = null;
let layout = { rowPx: ROW_PX, open: -1, openPx: 0 };

export function moveCurrent(step) {
  const list = state.rows.value;
  if (!list.length) return;
  const at = state.places.value.get(state.currentId.value) ?? (step > 0 ? -1 : list.length);
  select(Math.max(0, Math.min(list.length - 1, at + step)));
}

function select(index) {
  const row = state.rows.value[index];
  if (!row) return;
  state.currentId.value = row.id;
  if (viewport) viewport.scrollTop = scrollFor(index, viewport.scrollTop, viewport.clientHeight, layout);
}

export function toggleOpen(id = state.currentId.value) {
  if (!id) return;
  state.currentId.value = id;
  state.openId.value = state.openId.value === id ? '' : id;
}

export function Rows() {
  const root = useRef(null);
  const [sight, setSight] = useState({ top: 0, height: 800 });
  const [openPx, setOpenPx] = useState(0);
  const list = state.rows.value;
  const places = state.places.value;
  const open = places.get(state.openId.value) ?? -1;
  const current = places.get(state.currentId.value) ?? -1;
  layout = { rowPx: ROW_PX, open, openPx: open < 0 ? 0 : openPx };

  useLayoutEffect(() => {
    viewport = root.current;
    const measure = () => setSight({ top: viewport.scrollTop, height: viewport.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(viewport);
    measure();
    return () => {
      observer.disconnect();
      viewport = null;
    };
  }, []);
  // A new answer is read from its top.
  useEffect(() => {
    if (viewport && state.phase.value === 'running') viewport.scrollTop = 0;
  }, [state.view.value]);

  const [first, last] = visibleRange(list.length, sight.top, sight.height, layout);
  useEffect(() => {
    if (list.length && last >= list.length - AHEAD_ROWS) state.more();
  }, [last, list.length, state.phase.value]);

  const onScroll = (event) => {
    const { scrollTop, clientHeight } = event.currentTarget;
    state.setAtTop(scrollTop < ROW_PX);
    setSight({ top: scrollTop, height: clientHeight });
  };
  const onKey = (event) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(sight.height / ROW_PX) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -list.length, End: list.length }[event.key];
    if (step) moveCurrent(step);
    else if (event.key === ' ') toggleOpen();
    else return;
    event.preventDefault();
  };

  const drawn = [];
  for (let i = first; i <= last; i += 1) drawn.push(i);
  if (current >= 0 && (current < first || current > last)) drawn.push(current);
  const waiting = state.liveState.value.waiting;
  const currentId = current >= 0 ? `row-${state.currentId.value}` : undefined;
  return html`
    <div class="rows">
      ${waiting > 0 && html`<button type="button" class="waiting" onClick=${() => { viewport.scrollTop = 0; }}>${count(waiting)} new ↑</button>`}
      <div class=${`viewport ${/^(running|failed)$/.test(state.phase.value) ? 'stale' : ''} ${state.withDay.value ? 'days' : ''}`} ref=${root} tabindex="0" role="grid" aria-label="Events, newest first"
        aria-rowcount=${state.end.value?.cursor ? -1 : list.length} aria-activedescendant=${currentId} aria-busy=${state.phase.value === 'running'} onScroll=${onScroll} onKeyDown=${onKey}>
        <div class="list" role="presentation" style=${{ height: `${listPx(list.length, layout)}px` }}>
          ${drawn.map((i) => html`<${Event} key=${list[i].id} row=${list[i]} index=${i} top=${rowTop(i, layout)} current=${i === current} open=${i === open} onHeight=${setOpenPx} />`)}
        </div>
      </div>
      ${list.length === 0 && html`<${Empty} />`}
    </div>`;
}

function Event({ row, index, top, current, open, onHeight }) {
  const { utc } = state.view.value;
  const words = state.words.value;
  const detail = useRef(null);
  useLayoutEffect(() => {
    if (!open) return undefined;
    const observer = new ResizeObserver(() => { if (detail.current) onHeight(detail.current.offsetHeight); });
    observer.observe(detail.current);
    return () => observer.disconnect();
  }, [open]);
  const click = () => {
    // A click at the end of a selection of text is not meant to open anything.
    if (!getSelection().isCollapsed) return;
    toggleOpen(row.id);
  };
  const message = cell(row.message ?? row.raw);
  const cut = message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX)}…` : message;
  return html`
    <div class=${`event ${levelClass(row.level)} ${current ? 'current' : ''} ${open ? 'open' : ''}`} style=${{ transform: `translateY(${top}px)` }} role="rowgroup">
      <div class="row" id=${`row-${row.id}`} role="row" aria-rowindex=${index + 1} aria-selected=${current} onClick=${click}>
        <span role="gridcell" class="when"><${Time} at=${row.time} utc=${utc}>${rowTime(cell(row.time), utc, state.withDay.value)}<//></span>
        <span role="gridcell"><${Level} level=${row.level} /></span>
        <span role="gridcell" class="service" title=${cell(row.service)}><${Text} text=${cell(row.service)} /></span>
        <span role="gridcell" class="message"><${Status} row=${row} /><${Text} text=${cut} words=${words} />${row['exception.type'] && !message.includes(row['exception.type']) && html` <em class="exception"><${Text} text=${cell(row['exception.type'])} /></em>`}${typeof row.duration_ms === 'number' && html`<span class="took">${took(row.duration_ms)}</span>`}</span>
      </div>
      ${open && html`<div class="detail" role="row" ref=${detail}><div role="gridcell"><${Detail} row=${row} /></div></div>`}
    </div>`;
}

const took = (ms) => (ms >= 1000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number(ms.toPrecision(3))} ms`);

/** The status of a request in front of its line: the first thing that is looked for in an access log. */
function Status({ row }) {
  const status = Number(row.status);
  if (!Number.isInteger(status) || status < 100 || status > 599) return null;
  return html`<b class=${`http s${Math.floor(status / 100)}`}>${status}</b>`;
}

function Empty() {
  const phase = state.phase.value;
  if (phase === 'running') return html`<div class="empty">${state.progress.value ? 'Nothing yet…' : ''}</div>`;
  if (phase === 'failed') return null;
  const wider = { 'now-5m': 'now-1h', 'now-15m': 'now-6h', 'now-1h': 'now-1d', 'now-6h': 'now-7d', 'now-1d': 'now-30d' }[state.view.value.from];
  return html`
    <div class="empty">
      <p>${state.end.value && !state.end.value.complete ? 'No events match in the part that could be read.' : 'No events match in this range.'}</p>
      ${wider && !state.view.value.to && html`<button type="button" onClick=${() => state.go({ from: wider })}>Look further back</button>`}
      ${state.view.value.query && html`<button type="button" onClick=${() => state.go({ query: '' })}>Show everything</button>`}
    </div>`;
}
