// The page: puts its parts together and listens to the keyboard.
import { render } from 'preact';

import { AlertStrip } from './alerts.js';
import { Help } from './help.js';
import { Histogram } from './histogram.js';
import { html } from './html.js';
import { QueryBar } from './querybar.js';
import { Results } from './results.js';
import { moveCurrent, toggleOpen } from './rows.js';
import * as state from './state.js';
import { parseUrl } from './url.js';

function App() {
  return html`
    <${QueryBar} />
    <${AlertStrip} />
    <main>
      <${Histogram} />
      <${Results} />
    </main>
    <${Help} />`;
}

const inText = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === 'Escape') {
    if (state.helpOpen.value) state.helpOpen.value = false;
    else if (inText(event.target)) event.target.blur();
    else if (!state.cancel()) state.openId.value = '';
    return;
  }
  if (inText(event.target)) return;
  const onButton = event.target instanceof HTMLElement && event.target.closest('button, a, summary');
  const action = {
    '/': () => document.getElementById('query')?.focus(),
    '?': () => { state.helpOpen.value = !state.helpOpen.value; },
    j: () => moveCurrent(1),
    k: () => moveCurrent(-1),
    o: () => toggleOpen(),
    l: () => state.toggleLive(),
    Enter: onButton ? null : () => toggleOpen(),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

document.addEventListener('keydown', onKey);
addEventListener('popstate', () => state.show(parseUrl(location.pathname, location.search)));
render(html`<${App} />`, document.getElementById('app'));
state.show(state.view.value);
state.pollAlerts();
