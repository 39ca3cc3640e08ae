// Rows that a pipe made: a table, with a bar behind the first number so that the eye finds the large ones.
import { html } from './html.js';
import { Text, Time } from './parts.js';
import * as state from './state.js';
import { cell, count } from './text.js';

/** More rows are not read but searched; they are counted. */
const DRAWN_MAX = 1_000;

export function ResultTable() {
  const list = state.rows.value;
  const names = state.columns.value.length ? state.columns.value : Object.keys(list[0] ?? {}).filter((name) => name !== 't');
  const numeric = new Set(names.filter((name) => list.some((row) => typeof row[name] === 'number') && list.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === 'number')));
  const measured = names.find((name) => numeric.has(name) && list.length > 1);
  const largest = Math.max(1, ...list.map((row) => Number(row[measured]) || 0));
  const busy = state.phase.value === 'running';
  const stale = busy || state.phase.value === 'failed';
  if (!list.length && state.phase.value === 'done') return html`<div class="empty"><p>The table has no rows.</p></div>`;
  return html`
    <div class=${`result ${stale ? 'stale' : ''}`} tabindex="0" role="region" aria-label="Result" aria-busy=${busy}>
      <table>
        <thead><tr>${names.map((name) => html`<th scope="col" class=${numeric.has(name) ? 'num' : ''}><${Text} text=${name} /></th>`)}</tr></thead>
        <tbody>${list.slice(0, DRAWN_MAX).map((row) => html`<tr>${names.map((name) => html`<${Cell} name=${name} value=${row[name]} numeric=${numeric.has(name)} share=${name === measured ? Number(row[name]) / largest : 0} />`)}</tr>`)}</tbody>
      </table>
      ${list.length > DRAWN_MAX && html`<p class="dim">${count(list.length - DRAWN_MAX)} more rows are not drawn.</p>`}
    </div>`;
}

function Cell({ name, value, numeric, share }) {
  const text = cell(value);
  if (numeric) {
    const bar = share > 0 ? { '--share': `${(share * 100).toFixed(1)}%` } : {};
    return html`<td class=${share > 0 ? 'num share' : 'num'} style=${bar}>${Number.isInteger(value) ? count(value) : text}</td>`;
  }
  return html`<td>${name === 'time' ? html`<${Time} at=${text} utc=${state.view.value.utc} />` : html`<${Text} text=${text} />`}</td>`;
}
