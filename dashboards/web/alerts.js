// The strip of firing alerts: what, since when, the lines that say so, the way to the search, and what was done about it.
import { useRef, useState } from 'preact/hooks';

import { html } from './html.js';
import { inForce, silencedBy } from './matchers.js';
import { Icon, Text, Time } from './parts.js';
import { filterPart } from './query.js';
import { AckDialog, left, minute, SilenceDialog, Silences } from './silences.js';
import * as state from './state.js';
import { ago, rowTime } from './time.js';
import { formatUrl } from './url.js';

/** More would push the rows off the page; they are counted. */
const SHOWN_MAX = 3;
/** The search behind an alert begins this long before it. */
const LEAD_MS = 5 * 60_000;

export function AlertStrip() {
  const [all, setAll] = useState(false);
  const [listed, setListed] = useState(false);
  const [waiting, setWaiting] = useState(false);
  const [form, setForm] = useState(null);
  const strip = useRef(null);
  const firing = state.alerts.value.filter((alert) => alert.state === 'firing');
  const others = state.alerts.value.filter((alert) => alert.state !== 'firing' && !alert.resolved_at);
  const silences = inForce(state.silences.value).length;
  const shown = all ? firing : firing.slice(0, SHOWN_MAX);
  const close = () => {
    setForm(null);
    // The button that opened the form is gone once it has done its work, and with it the place of the keyboard.
    if (document.activeElement === document.body) strip.current?.focus();
  };
  const one = (alert) => html`<${Alert} key=${alert.id} alert=${alert} act=${(kind) => setForm({ kind, alert })} />`;
  return html`
    ${(firing.length > 0 || others.length > 0 || silences > 0) && html`
      <section class="alerts" ref=${strip} tabindex="-1" aria-label="Alerts" aria-live="polite">
        ${shown.map(one)}
        ${(firing.length > SHOWN_MAX || others.length > 0 || silences > 0) && html`
          <div class="rest">
            ${others.length > 0 && html`<button type="button" class="quiet" aria-expanded=${waiting} onClick=${() => setWaiting(!waiting)}>${named(others)}</button>`}
            ${firing.length > SHOWN_MAX && html`<button type="button" class="quiet" onClick=${() => setAll(!all)}>${all ? 'Show fewer' : `${firing.length - SHOWN_MAX} more firing`}</button>`}
            ${silences > 0 && html`<button type="button" class="quiet" aria-expanded=${listed} onClick=${() => setListed(!listed)}><${Icon} name="mute" />${silences} ${silences === 1 ? 'silence' : 'silences'}</button>`}
          </div>`}
        ${waiting && others.map(one)}
        ${listed && silences > 0 && html`<${Silences} />`}
      </section>`}
    ${form?.kind === 'ack' && html`<${AckDialog} alert=${form.alert} close=${close} />`}
    ${form?.kind === 'silence' && html`<${SilenceDialog} alert=${form.alert} close=${close} done=${() => setListed(true)} />`}`;
}

/** `SilentHost pending · ErrorBurst recovering and 4 more` */
function named(alerts) {
  const more = alerts.length > SHOWN_MAX ? ` and ${alerts.length - SHOWN_MAX} more` : '';
  return alerts.slice(0, SHOWN_MAX).map((alert) => `${alert.rule} ${alert.state}`).join(' · ') + more;
}

function Alert({ alert, act }) {
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
  const about = `about-${alert.id}`;
  const { acknowledged: ack } = alert;
  // Nobody was told of what does not fire yet: there is nothing to take in hand.
  const pending = alert.state === 'pending';
  const silence = silencedBy(alert, state.silences.value);
  return html`
    <article class=${`alert ${pending ? 'pending' : severity}`}>
      <div class="line">
        <span class="badge"><${Icon} name="bell" />${alert.severity ?? 'firing'}</span>
        <b>${alert.rule}</b>
        <span class="summary" id=${about}><${Text} text=${alert.summary} /></span>
        <span class="dim">for <${Time} at=${alert.since} utc=${utc}>${ago(alert.since, state.now.value)}<//></span>
        ${samples.length > 0 && html`<button type="button" class="quiet" aria-expanded=${open} onClick=${() => setOpen(!open)}>${samples.length} ${samples.length === 1 ? 'line' : 'lines'}</button>`}
        ${alert.state !== 'firing' && html`<span class="dim">${alert.state}</span>`}
        ${ack
          ? html`<span class="done" title=${[ack.until && `until ${minute(ack.until)}`, ack.comment].filter(Boolean).join(': ')}><${Icon} name="check" />taken by <${Text} text=${ack.by} /></span>`
          : !pending && html`<button type="button" class="quiet" aria-label=${`Acknowledge ${alert.rule}`} aria-describedby=${about} onClick=${() => act('ack')}><${Icon} name="check" />Acknowledge</button>`}
        ${silence
          ? html`<span class="done" title=${`until ${minute(silence.ends)}: ${silence.comment}`}><${Icon} name="mute" />silenced, ${left(silence)} left</span>`
          : html`<button type="button" class="quiet" aria-label=${`Silence… ${alert.rule}`} aria-describedby=${about} onClick=${() => act('silence')}><${Icon} name="mute" />Silence…</button>`}
        <a href=${formatUrl({ ...state.view.value, ...target, event: '' })} onClick=${follow}>Search</a>
      </div>
      ${open && html`
        <ol class="samples">
          ${samples.map((sample) => html`<li><a href=${`/e/${sample.id}`} title="Open this event"><${Time} at=${sample.time} utc=${utc}>${rowTime(sample.time, utc, false)}<//></a> <${Text} text=${sample.line} /></li>`)}
        </ol>`}
    </article>`;
}
