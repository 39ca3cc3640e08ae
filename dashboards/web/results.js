// The answer: what to know about it (warnings, what is missing), then rows or a table.
import { html } from './html.js';
import { Text } from './parts.js';
import { replaceAt } from './query.js';
import { Rows } from './rows.js';
import * as state from './state.js';
import { ResultTable } from './table.js';
import { count } from './text.js';
import { stamp } from './time.js';

export function Results() {
  const { event } = state.view.value;
  return html`
    ${event && html`<div class="note"><span>One event by its permalink.</span> <button type="button" class="quiet" onClick=${() => state.go({})}>Back to the search</button></div>`}
    <${Warnings} />
    <${Partial} />
    <${StatusLine} />
    ${state.isEvents.value ? html`<${Rows} />` : html`<${ResultTable} />`}`;
}

function Warnings() {
  const { query } = state.view.value;
  return state.warnings.value.map((warning) => {
    const fixed = warning.did_you_mean && warning.field && warning.pos ? replaceAt(query, warning.pos, warning.field, warning.did_you_mean) : query;
    return html`
      <div class="note warn" role="status">
        <${Text} text=${warning.message} />
        ${fixed !== query && html`<button type="button" class="fix" onClick=${() => state.go({ query: fixed })}>use <b>${warning.did_you_mean}</b></button>`}
      </div>`;
  });
}

/** A partial answer says which part of time it does not cover, and goes on where it stopped. */
function Partial() {
  const end = state.end.value;
  if (!end || end.complete) return null;
  const { utc } = state.view.value;
  const missing = end.missing ?? [];
  return html`
    <div class="note partial" role="alert">
      <b>This answer is not complete</b>
      <span>${(end.reason ?? 'a part could not be read').replaceAll('_', ' ')}</span>
      ${missing.map((range) => html`<span>missing <time datetime=${range.from}>${stamp(range.from, utc, false)}</time> – <time datetime=${range.to}>${stamp(range.to, utc, false)}</time></span>`)}
      ${end.cursor && html`<button type="button" class="quiet" onClick=${() => state.more()}>Continue</button>`}
      <button type="button" class="quiet" onClick=${() => state.run()}>Try again</button>
    </div>`;
}

function StatusLine() {
  const { value: phase } = state.phase;
  const end = state.end.value;
  const progress = state.progress.value;
  const rows = state.rows.value.length;
  const live = state.liveState.value;
  const text = () => {
    if (phase === 'running') {
      return progress?.splits_total ? `searching, ${progress.splits_done} of ${progress.splits_total} splits` : 'searching';
    }
    if (phase === 'failed') return rows ? 'below: the answer before this one' : '';
    if (!end) return '';
    const what = state.isEvents.value ? ['event', 'events'] : ['row', 'rows'];
    const more = end.cursor ? ' shown, more below' : '';
    return `${count(rows)} ${what[rows === 1 ? 0 : 1]}${more}`;
  };
  return html`
    <div class="status" role="status">
      <span class=${phase === 'running' ? 'busy' : ''}>${text()}</span>
      ${end?.stats && phase === 'done' && html`<span class="dim" title=${statistics(end.stats)}>${Math.max(1, Math.round(end.stats.ms))} ms</span>`}
      ${phase === 'running' && html`<button type="button" class="quiet" onClick=${() => state.cancel()}>Stop</button>`}
      ${state.view.value.live && html`<span class="livetext"><i class="pulse"></i>live${live.trouble ? `: ${live.trouble}` : ''}</span>`}
      ${live.dropped > 0 && html`<span class="warntext">${count(live.dropped)} left out: they came too fast</span>`}
      ${rows >= state.ROWS_MAX && html`<span class="warntext">${count(state.ROWS_MAX)} events are as many as this page holds: make the range smaller</span>`}
    </div>`;
}

const statistics = (stats) => `${count(stats.rows_scanned ?? 0)} rows looked at, ${stats.splits_opened} splits opened, ${stats.splits_pruned} left out`;
