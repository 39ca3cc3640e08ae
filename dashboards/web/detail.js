// An open event: its fields with filters, its stack trace, the line as it was written, its permalink.
import { useEffect, useState } from 'preact/hooks';

import { html } from './html.js';
import { Icon, Text, Time } from './parts.js';
import { term } from './query.js';
import * as state from './state.js';
import { cell } from './text.js';

/** Shown elsewhere in the detail, or only of use to the page. */
const HIDDEN = new Set(['t', 'id', 'raw', 'exception.stack']);
/** Names that come first; the others follow in the order of the row. */
const FIRST = ['time', 'level', 'service', 'host', 'message'];
const AROUND_MS = 30_000;

export function Detail({ row }) {
  const [whole, setWhole] = useState(null);
  const [trouble, setTrouble] = useState('');
  useEffect(() => {
    let gone = false;
    state.wholeEvent(row.id).then(
      (event) => { if (!gone) setWhole(event); },
      (error) => { if (!gone) setTrouble(error.message); },
    );
    return () => { gone = true; };
  }, [row.id]);
  const event = { ...row, ...whole };
  const names = Object.keys(event).filter((name) => !HIDDEN.has(name) && !FIRST.includes(name));
  const shown = [...FIRST.filter((name) => name in event), ...names].filter((name) => event[name] !== null && event[name] !== '');
  const link = `${location.origin}/e/${row.id}`;
  return html`
    <div class="actions">
      <a href=${`/e/${row.id}`} title="A link to this event alone"><${Icon} name="link" />Permalink</a>
      <${Copy} text=${link} label="Copy link" />
      <button type="button" class="quiet" onClick=${() => around(event)} title="Everything of this service and host, 30 s before and after"><${Icon} name="around" />Around</button>
      ${event.trace_id && html`<button type="button" class="quiet" onClick=${() => state.go({ query: term('trace_id', event.trace_id), live: false })}><${Icon} name="search" />This trace</button>`}
      <span class="space"></span>
      <button type="button" class="quiet" aria-label="Close" title="Close (Esc)" onClick=${() => { state.openId.value = ''; }}><${Icon} name="close" /></button>
    </div>
    <table class="fields">
      <tbody>${shown.map((name) => html`<${Field} key=${name} name=${name} value=${event[name]} />`)}</tbody>
    </table>
    ${event['exception.stack'] && html`<h2>Stack trace</h2><pre class="stack"><${Text} text=${cell(event['exception.stack'])} breaks=${true} /></pre>`}
    ${event.raw !== undefined && html`
      <h2>As written <${Copy} text=${cell(event.raw)} label="Copy" /></h2>
      <pre class="raw"><${Text} text=${cell(event.raw)} links=${true} breaks=${true} words=${state.words.value} /></pre>`}
    ${trouble && html`<p class="dim">The line as it was written could not be fetched: ${trouble}</p>`}`;
}

function Field({ name, value }) {
  const text = cell(value);
  const filterable = name !== 'time' && name !== 'message' && text.length <= 256;
  const stop = (exclude) => () => state.addFilter(name, value, exclude);
  return html`
    <tr>
      <td class="filters">${filterable && html`
        <button type="button" title=${`Only ${name} = ${text.slice(0, 80)}`} aria-label=${`Only events with this ${name}`} onClick=${stop(false)}><${Icon} name="plus" /></button>
        <button type="button" title=${`Without ${name} = ${text.slice(0, 80)}`} aria-label=${`Without events with this ${name}`} onClick=${stop(true)}><${Icon} name="minus" /></button>`}</td>
      <th scope="row"><${Text} text=${name} /></th>
      <td class="value">${name === 'time'
        ? html`<${Time} at=${text} utc=${state.view.value.utc} /> <span class="dim">${text}</span>`
        : html`<${Text} text=${text} links=${true} breaks=${true} words=${name === 'message' ? state.words.value : []} />`}</td>
    </tr>`;
}

/** Copies the bytes as they are: chips are for the eye only. */
function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setDone(true), () => {});
  return html`<button type="button" class="quiet" onClick=${copy}><${Icon} name="copy" />${done ? 'Copied' : label}</button>`;
}

function around(event) {
  const at = Date.parse(event.time);
  const query = ['service', 'host'].filter((name) => event[name]).map((name) => term(name, event[name])).join(' ');
  const iso = (ms) => new Date(ms).toISOString();
  state.go({ query, from: iso(at - AROUND_MS), to: iso(at + AROUND_MS), live: false });
}
