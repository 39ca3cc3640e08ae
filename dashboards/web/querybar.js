// The top of the page: the query box with its error underlined, the time range, live and theme.
import { useEffect, useRef } from 'preact/hooks';

import { setToken } from './api.js';
import { html } from './html.js';
import { Icon } from './parts.js';
import * as state from './state.js';
import { TimePicker } from './timepicker.js';

export function QueryBar() {
  const running = state.phase.value === 'running';
  const submit = (event) => {
    event.preventDefault();
    state.go({ query: state.draft.value.trim() });
  };
  return html`
    <header class="bar">
      <h1><a class="brand" href="/" title="Everything of the last hour" onClick=${home}><img src="/assets/icon.svg" alt="" width="22" height="22" />logweir</a></h1>
      <form class="query" role="search" onSubmit=${submit}>
        <${QueryBox} />
        <button class="go" type="submit" title="Run (Enter)">${running ? html`<span class="spinner"></span>` : html`<${Icon} name="search" />`}<span>Search</span></button>
      </form>
      <${TimePicker} />
      <${LiveButton} />
      <button class="quiet" type="button" title="Dark or light" aria-label="Switch between dark and light" onClick=${switchTheme}><${Icon} name="theme" /></button>
      <button class="quiet" type="button" title="Keys and syntax (?)" aria-label="Help" onClick=${() => { state.helpOpen.value = true; }}>?</button>
    </header>
    <${Problem} />`;
}

function home(event) {
  event.preventDefault();
  state.go({ query: '', from: 'now-1h', to: '' });
}

/** The place of an error is underlined in a twin of the box that lies below its text. */
function QueryBox() {
  const box = useRef(null);
  const twin = useRef(null);
  const align = () => { if (twin.current && box.current) twin.current.scrollLeft = box.current.scrollLeft; };
  useEffect(align);
  const error = state.problem.value;
  const stale = state.draft.value !== state.view.value.query;
  const place = error?.pos && !stale ? error : null;
  const chars = [...state.draft.value];
  const at = place ? Math.min(place.pos - 1, chars.length) : 0;
  const behind = place ? Math.min(at + Math.max(place.len, 1), Math.max(chars.length, at)) : 0;
  const change = (event) => { state.draft.value = event.currentTarget.value; };
  return html`
    <div class=${`box ${error && !stale ? 'wrong' : ''}`}>
      <div class="twin" ref=${twin} aria-hidden="true">${place && html`${chars.slice(0, at).join('')}<u>${chars.slice(at, behind).join('') || '\u00a0'}</u>${chars.slice(behind).join('')}`}</div>
      <input id="query" ref=${box} type="text" name="q" value=${state.draft.value} onInput=${change} onScroll=${align} onKeyUp=${align}
        placeholder="Search: timeout service:api level>=warn, or status>=500 | stats count by path"
        aria-label="Query" aria-invalid=${Boolean(place)} aria-describedby=${error ? 'problem' : undefined}
        autocomplete="off" autocapitalize="off" spellcheck="false" enterkeyhint="search" maxlength="16384" />
      ${!state.draft.value && html`<kbd class="slash" aria-hidden="true">/</kbd>`}
    </div>`;
}

function Problem() {
  const error = state.problem.value;
  if (!error) return null;
  const apply = /^did you mean '([^']+)'\?$/.exec(error.hint ?? '');
  const fix = () => {
    const chars = [...state.view.value.query];
    state.go({ query: [...chars.slice(0, error.pos - 1), apply[1], ...chars.slice(error.pos - 1 + error.len)].join('') });
  };
  const gone = error instanceof TypeError;
  return html`
    <div class="problem" id="problem" role="alert">
      <b>${gone ? 'the server cannot be reached' : error.message}</b>
      ${error.pos > 0 && html`<span class="dim">at character ${error.pos}</span>`}
      ${apply && error.pos > 0 ? html`<button type="button" class="fix" onClick=${fix}>did you mean <b>${apply[1]}</b>?</button>` : error.hint && html`<span>${error.hint}</span>`}
      ${error.status === 401 ? html`<${TokenForm} />` : html`<button type="button" class="quiet" onClick=${() => state.run()}>Try again</button>`}
    </div>`;
}

/** A server with tokens wants one; it is forgotten with the page. */
export function TokenForm({ used = state.run }) {
  const field = useRef(null);
  const use = (event) => {
    event.preventDefault();
    setToken(field.current.value);
    used();
  };
  return html`
    <form onSubmit=${use}>
      <input ref=${field} type="password" name="token" placeholder="Token" aria-label="Token" autocomplete="off" />
      <button class="go" type="submit">Use</button>
    </form>`;
}

function LiveButton() {
  const on = state.view.value.live;
  const able = state.isEvents.value;
  return html`
    <button type="button" class=${`live ${on ? 'on' : ''}`} aria-pressed=${on} disabled=${!able && !on}
      title=${able ? 'Follow new events (l)' : 'A table cannot be followed: take the pipe out of the query'}
      onClick=${() => state.toggleLive()}>
      ${on ? html`<span class="pulse"></span>` : html`<${Icon} name="live" />`}<span>Live</span>
    </button>`;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : !matchMedia('(prefers-color-scheme: light)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try {
    localStorage.setItem('logweir-theme', root.dataset.theme);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  dispatchEvent(new Event('logweir-theme'));
}
