// The time range: presets, two fields for exact times, and the zone.
import { useEffect, useRef, useState } from 'preact/hooks';

import { html } from './html.js';
import { Icon } from './parts.js';
import * as state from './state.js';
import { PRESETS, rangeLabel, readTime, stamp, zoneLabel } from './time.js';

export function TimePicker() {
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  const button = useRef(null);
  const { from, to, utc } = state.view.value;
  const close = () => { setOpen(false); button.current?.focus(); };
  useEffect(() => {
    if (!open) return undefined;
    root.current.querySelector('[aria-current="true"], .presets button').focus();
    const outside = (event) => { if (!root.current.contains(event.target)) setOpen(false); };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);
  const onKey = (event) => {
    if (event.key !== 'Escape' || !open) return;
    event.stopPropagation();
    close();
  };
  const choose = (change) => { close(); state.go(change); };
  return html`
    <div class="time" ref=${root} onKeyDown=${onKey}>
      <button ref=${button} type="button" class="range" aria-haspopup="dialog" aria-expanded=${open} onClick=${() => setOpen(!open)}>
        <${Icon} name="clock" /><span>${rangeLabel(from, to, utc)}</span><small>${zone(utc)}</small>
      </button>
      ${open && html`
        <div class="popover" role="dialog" aria-label="Time range">
          <div class="presets">
            ${PRESETS.map(([value, label]) => html`<button type="button" aria-current=${value === from && to === ''} onClick=${() => choose({ from: value, to: '' })}>${label}</button>`)}
          </div>
          <${Exact} from=${from} to=${to} utc=${utc} choose=${choose} />
        </div>`}
    </div>`;
}

const zone = (utc) => zoneLabel(utc, new Date().getTimezoneOffset());

function Exact({ from, to, utc, choose }) {
  const shown = (text) => (text === '' || /^now/.test(text) ? text : stamp(text, utc));
  const [start, setStart] = useState(shown(from));
  const [stop, setStop] = useState(shown(to));
  const [wrong, setWrong] = useState({});
  const apply = (event) => {
    event.preventDefault();
    const [a, b] = [readTime(start, utc), readTime(stop, utc)];
    setWrong({ from: a.error, to: b.error });
    if (!a.error && !b.error) choose({ from: a.value, to: b.value });
  };
  return html`
    <form class="exact" onSubmit=${apply}>
      <label>From<input value=${start} onInput=${(e) => setStart(e.currentTarget.value)} aria-invalid=${Boolean(wrong.from)} spellcheck="false" />${wrong.from && html`<em>${wrong.from}</em>`}</label>
      <label>To<input value=${stop} placeholder="now" onInput=${(e) => setStop(e.currentTarget.value)} aria-invalid=${Boolean(wrong.to)} spellcheck="false" />${wrong.to && html`<em>${wrong.to}</em>`}</label>
      <div class="zone">
        <label class="check"><input type="checkbox" checked=${utc} onChange=${(e) => state.go({ utc: e.currentTarget.checked }, true)} />Times in UTC</label>
        <button class="go" type="submit">Apply</button>
      </div>
    </form>`;
}
