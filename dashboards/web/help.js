// Keys and a page of syntax.
import { useEffect, useRef } from 'preact/hooks';

import { html } from './html.js';
import * as state from './state.js';

const KEYS = [
  ['/', 'go to the query'],
  ['Enter', 'run it'],
  ['j k', 'next and previous event'],
  ['o', 'open and close the event'],
  ['l', 'live on and off'],
  ['Esc', 'stop, close, leave the box'],
  ['?', 'this page'],
];

const SYNTAX = [
  ['timeout "connection reset"', 'words and phrases in the message, in any case'],
  ['service:api level>=warn', 'fields; levels are ordered'],
  ['status:5xx duration_ms>1000', 'classes and numbers'],
  ['client_ip:10.0.0.0/8 host:web-*', 'networks and patterns'],
  ['-path:/health* (a OR b)', 'not, or, parentheses'],
  ['message=~"took \\d+ms"', 'regular expressions'],
  ['status>=500 | stats count by path', 'then a table'],
  ['* | timechart 1m p95(duration_ms)', 'over time'],
  ['level:error | top 10 service', 'the most frequent'],
];

export function Help() {
  const dialog = useRef(null);
  const open = state.helpOpen.value;
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  const tryIt = (query) => {
    state.helpOpen.value = false;
    state.go({ query });
  };
  return html`
    <dialog class="help" ref=${dialog} aria-label="Help" onClose=${() => { state.helpOpen.value = false; }}>
      <h2>Keys</h2>
      <dl>${KEYS.map(([key, what]) => html`<dt>${key.split(' ').map((one) => html`<kbd>${one}</kbd>`)}</dt><dd>${what}</dd>`)}</dl>
      <h2>Queries</h2>
      <dl class="syntax">${SYNTAX.map(([query, what]) => html`<dt><button type="button" title="Try it" onClick=${() => tryIt(query)}><code>${query}</code></button></dt><dd>${what}</dd>`)}</dl>
      <button type="button" class="quiet close" onClick=${() => { state.helpOpen.value = false; }}>Close</button>
    </dialog>`;
}
