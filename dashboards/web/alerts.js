// The strip of firing alerts: what, since when, the lines that say so, and the way to the search.
import { useState } from 'preact/hooks';

import { html } from './html.js';
import { Icon, Text, Time } from './parts.js';
import { filterPart } from './query.js';
import * as state from './state.js';
import { ago, rowTime } from './time.js';
import { formatUrl } from './url.js';

/** More would push the rows off the page; they are counted. */
const SHOWN_MAX = 3;
/** The search behind an alert begins this long before it. */
const LEAD_MS = 5 * 60_000;

export function AlertStrip() {
  const [all, setAll] = useState(false);
  const firing = state.alerts.value.filter((alert) => alert.state === 'firing');
  const others = state.alerts.value.filter((alert) => alert.state !== 'firing' && !alert.resolved_at);
  if (!firing.length && !others.length) return null;
  const shown = all ? firing : firing.slice(0, SHOWN_MAX);
  return html`
    <section class="alerts" aria-label="Alerts" aria-live="polite">
      ${shown.map((alert) => html`<${Alert} key=${alert.id} alert=${alert} />`)}
      ${(firing.length > SHOWN_MAX || others.length > 0) && html`
        <div class="rest">
          ${others.length > 0 && html`<span class="pending">${others.map((alert) => `${alert.rule} ${alert.state}`).slice(0, SHOWN_MAX).join(' · ')}${others.length > SHOWN_MAX ? ` and ${others.length - SHOWN_MAX} more` : ''}</span>`}
          ${firing.length > SHOWN_MAX && html`<button type="button" class="quiet" onClick=${() => setAll(!all)}>${all ? 'Show fewer' : `${firing.length - SHOWN_MAX} more firing`}</button>`}
        </div>`}
    </section>`;
}

function Alert({ alert }) {
  const [open, setOpen] = useState(false);
  const samples = alert.samples ?? [];
  const since = Date.parse(alert.since);
  const from = new Date((Number.isNaN(since) ? state.now.value : since) - LEAD_MS).toISOString();
  const target = { query: filterPart(alert.query ?? ''), from, to: '', live: false };
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.go(target);
  };
  const severity = /^(critical|page|high)$/i.test(alert.severity ?? '') ? 'critical' : 'warning';
  const utc = state.view.value.utc;
  return html`
    <article class=${`alert ${severity}`}>
      <div class="line">
        <span class="badge"><${Icon} name="bell" />${alert.severity ?? 'firing'}</span>
        <b>${alert.rule}</b>
        <span class="summary"><${Text} text=${alert.summary} /></span>
        <span class="dim">for <${Time} at=${alert.since} utc=${utc}>${ago(alert.since, state.now.value)}<//></span>
        ${samples.length > 0 && html`<button type="button" class="quiet" aria-expanded=${open} onClick=${() => setOpen(!open)}>${samples.length} ${samples.length === 1 ? 'line' : 'lines'}</button>`}
        <a href=${formatUrl({ ...state.view.value, ...target, event: '' })} onClick=${follow}>Search</a>
      </div>
      ${open && html`
        <ol class="samples">
          ${samples.map((sample) => html`<li><a href=${`/e/${sample.id}`} title="Open this event"><${Time} at=${sample.time} utc=${utc}>${rowTime(sample.time, utc, false)}<//></a> <${Text} text=${sample.line} /></li>`)}
        </ol>`}
    </article>`;
}
