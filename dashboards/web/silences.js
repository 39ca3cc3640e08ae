// What is done about an alert: the two forms, to take it and to silence it, and the list of silences in force.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import { html } from './html.js';
import { inForce, LENGTHS, matched, matcherLines, matchersOf, silenceBody } from './matchers.js';
import { Icon, Text, Time } from './parts.js';
import { TokenForm } from './querybar.js';
import * as state from './state.js';
import { ago, stamp, zoneLabel } from './time.js';

/** When an "until" would end that nobody has typed yet. */
const SUGGESTED_MS = 8 * 36e5;

const AUTHOR = 'logweir-author';

/** The name that was given last in this browser: a token does not say who holds it. */
function lastAuthor() {
  try {
    return localStorage.getItem(AUTHOR) ?? '';
  } catch {
    return '';
  }
}

function keepAuthor(name) {
  try {
    localStorage.setItem(AUTHOR, name.trim());
  } catch {
    // Without storage it is typed again.
  }
}

/** How long a silence still lasts: `55 min`. */
export const left = (silence) => ago(new Date(state.now.value).toISOString(), Date.parse(silence.ends));
/** `2026-11-21 18:00`, in the zone of the page. */
export const minute = (rfc3339) => stamp(rfc3339, state.view.value.utc, false).slice(0, 16);

/**
 * A dialog with one form. The browser keeps the focus inside, closes it on Escape and gives the focus back.
 * `send` throws what is wrong, which is then shown; the dialog closes when it returns.
 */
function FormDialog({ title, about, verb, send, close, children }) {
  const dialog = useRef(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  // Before the next key: what is typed at once belongs into the first field.
  useLayoutEffect(() => {
    dialog.current.showModal();
    const fields = [...dialog.current.querySelectorAll('input:not([type="radio"])')];
    (fields.find((field) => !field.disabled && field.value === '') ?? dialog.current.querySelector('[type="submit"]')).focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(null);
    try {
      await send();
      dialog.current?.close();
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  // The keys of the page are not for what lies above it.
  const keep = (event) => event.stopPropagation();
  return html`
    <dialog class="act" ref=${dialog} aria-labelledby="act-title" onClose=${close} onKeyDown=${keep}>
      <h2 id="act-title">${title} <b><${Text} text=${about.rule} /></b></h2>
      <p class="dim"><${Text} text=${about.summary} /></p>
      <form id="act-form" onSubmit=${submit}>${children}</form>
      ${problem && html`<${Refusal} error=${problem} retry=${() => setProblem(null)} />`}
      <div class="ends">
        <button type="button" class="quiet" onClick=${() => dialog.current.close()}>Cancel</button>
        <button type="submit" form="act-form" class="go" disabled=${busy}>${verb}</button>
      </div>
    </dialog>`;
}

/** What the server says, as it says it. A token without the right can be changed on the spot. */
function Refusal({ error, retry }) {
  const gone = error instanceof TypeError;
  const denied = error.status === 401 || error.status === 403;
  return html`
    <div class="problem" role="alert">
      <b>${gone ? 'the server cannot be reached' : error.message}</b>
      ${error.hint && html`<span>${error.hint}</span>`}
      ${denied && html`<span>This needs a token with the scope rules:write, and query for the page: logweir tokens create --scope query,tail,rules:write</span><${TokenForm} used=${retry} />`}
    </div>`;
}

export function AckDialog({ alert, close }) {
  const [by, setBy] = useState(lastAuthor);
  const [comment, setComment] = useState('');
  const send = async () => {
    keepAuthor(by);
    await state.acknowledge(alert.id, by, comment);
  };
  return html`
    <${FormDialog} title="Acknowledge" about=${alert} verb="Acknowledge" send=${send} close=${close}>
      <p>No repetition and no escalation, until it gets worse.</p>
      <label>Your name<input name="author" value=${by} required maxlength="200" autocomplete="name" onInput=${(e) => setBy(e.currentTarget.value)} /></label>
      <label>Comment <small>optional</small><input name="comment" value=${comment} maxlength="1000" autocomplete="off" onInput=${(e) => setComment(e.currentTarget.value)} /></label>
    <//>`;
}

export function SilenceDialog({ alert, close, done }) {
  const [form, setForm] = useState({ matchers: matchersOf(alert.labels), lasts: '1h', until: '', author: lastAuthor(), comment: '' });
  const [wrong, setWrong] = useState('');
  const put = (change) => setForm((before) => ({ ...before, ...change }));
  const change = (name) => (event) => put({ [name]: event.currentTarget.value });
  const type = (event) => put({ lasts: 'until', until: event.currentTarget.value });
  const send = async () => {
    const { body, error } = silenceBody(form, state.view.value.utc);
    setWrong(error ?? '');
    if (error) throw new Error(`'until' must be ${error}`);
    keepAuthor(body.author);
    await state.silence(body);
    done();
  };
  const open = state.alerts.value.filter(({ resolved_at: ended }) => !ended);
  const zone = zoneLabel(state.view.value.utc, new Date().getTimezoneOffset());
  const lines = Math.max(2, matcherLines(form.matchers).length + 1);
  return html`
    <${FormDialog} title="Silence" about=${alert} verb="Silence" send=${send} close=${close}>
      <label>Your name<input name="author" value=${form.author} required maxlength="200" autocomplete="name" onInput=${change('author')} /></label>
      <label>Reason<input name="comment" value=${form.comment} required maxlength="1000" autocomplete="off" onInput=${change('comment')} /></label>
      <fieldset>
        <legend>How long</legend>
        ${LENGTHS.map(([value, label]) => html`<label class="pick"><input type="radio" name="lasts" value=${value} checked=${form.lasts === value} onChange=${change('lasts')} />${label}</label>`)}
        <input name="until" class="until" aria-label=${`Until, a time in ${zone}`} aria-invalid=${wrong !== ''} value=${form.until} spellcheck="false"
          placeholder=${minute(new Date(state.now.value + SUGGESTED_MS).toISOString())} onInput=${type} /><small class="dim">${zone}</small>
      </fieldset>
      <label>Matchers <small>one a line, all must hold</small><textarea name="matchers" rows=${Math.min(lines, 8)} value=${form.matchers} aria-describedby="matched" spellcheck="false" onInput=${change('matchers')}></textarea></label>
      <p class="dim" id="matched" aria-live="polite"><${Text} text=${matched(form.matchers, open)} /></p>
    <//>`;
}

/** Who silenced what, why and until when; the first to end first. */
export function Silences() {
  const [problem, setProblem] = useState(null);
  const list = inForce(state.silences.value);
  const utc = state.view.value.utc;
  const finish = (id) => state.endSilence(id).then(() => setProblem(null), setProblem);
  return html`
    <div class="silences">
      ${problem && html`<${Refusal} error=${problem} retry=${() => setProblem(null)} />`}
      <ul aria-label="Silences in force">
        ${list.map((silence) => html`
          <li key=${silence.id}>
            <code><${Text} text=${silence.matchers.join('  ')} /></code>
            <span class="why"><b><${Text} text=${silence.author} /></b> <${Text} text=${silence.comment} /></span>
            <span class="dim">${silence.state === 'pending' && html`begins <${Time} at=${silence.starts} utc=${utc}>${minute(silence.starts)}<//>, `}until <${Time} at=${silence.ends} utc=${utc}>${minute(silence.ends)}<//> (${left(silence)})</span>
            <button type="button" class="quiet" aria-label=${`End the silence of ${silence.author}: ${silence.comment}`} onClick=${() => finish(silence.id)}><${Icon} name="close" />End</button>
          </li>`)}
      </ul>
    </div>`;
}
