// Events over time, stacked by level. Drag to zoom; with the keyboard: arrows, Shift and Enter. A table says the same.
import { useEffect, useRef, useState } from 'preact/hooks';

import { bucketRange, bucketStarts, countIn, levelSeries, stacked } from './bars.js';
import { html } from './html.js';
import * as state from './state.js';
import { count, levelClass, short } from './text.js';
import { axisTime, stamp, width } from './time.js';

const HEIGHT_PX = 104;
/** A drag shorter than this is a click. */
const DRAG_PX_MIN = 4;

export function Histogram() {
  const [table, setTable] = useState(false);
  const hits = state.hits.value;
  if (state.view.value.event) return null;
  const series = levelSeries(hits);
  return html`
    <section class="histogram" aria-label="Events over time">
      <div class="legend">
        <b>${hits ? count(hits.total) : '–'}</b><span class="dim">${hits?.total === 1 ? 'event' : 'events'}</span>
        ${series.map(({ level, total }) => html`<${Key} level=${level} total=${total} />`)}
        <span class="space"></span>
        ${hits && html`<span class="dim">${width(hits.width_ms)} a bar${hits.complete === false ? ', not complete' : ''}</span>`}
        <button type="button" class="quiet" aria-pressed=${table} onClick=${() => setTable(!table)}>${table ? 'Chart' : 'Table'}</button>
      </div>
      ${table ? html`<${BucketTable} hits=${hits} series=${series} />` : html`<${Chart} hits=${hits} series=${series} />`}
    </section>`;
}

function Key({ level, total }) {
  const name = level || 'no level';
  const filter = () => state.addFilter('level', level, false);
  return html`
    <button type="button" class="key" disabled=${!level} title=${level ? `Only ${level}` : ''} onClick=${filter}>
      <i class=${levelClass(level)}></i>${name} <span>${short(total)}</span>
    </button>`;
}

function Chart({ hits, series }) {
  const root = useRef(null);
  const plot = useRef(null);
  const [brush, setBrush] = useState(null);
  const [theme, setTheme] = useState(0);
  const { utc } = state.view.value;

  useEffect(() => {
    const again = () => setTheme((n) => n + 1);
    const media = matchMedia('(prefers-color-scheme: light)');
    media.addEventListener('change', again);
    addEventListener('logweir-theme', again);
    return () => {
      media.removeEventListener('change', again);
      removeEventListener('logweir-theme', again);
    };
  }, []);

  useEffect(() => {
    if (!hits || !root.current) return undefined;
    const home = root.current;
    const chart = draw(home, hits, series, utc);
    plot.current = chart;
    setBrush(null);
    const observer = new ResizeObserver(() => chart.setSize({ width: home.clientWidth, height: HEIGHT_PX }));
    observer.observe(home);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [hits, utc, theme]);

  useEffect(() => {
    if (!plot.current || !brush) return;
    const [first, last] = [Math.min(brush.anchor, brush.at), Math.max(brush.anchor, brush.at)];
    const starts = bucketStarts(hits);
    const left = plot.current.valToPos(starts[first], 'x');
    const right = plot.current.valToPos(starts[last] + hits.width_ms / 1000, 'x');
    plot.current.setSelect({ left, width: right - left, top: 0, height: plot.current.over.clientHeight }, false);
  }, [brush]);

  const onKey = (event) => {
    const buckets = hits ? bucketStarts(hits).length : 0;
    if (!buckets) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -buckets, End: buckets }[event.key];
    if (step) {
      event.preventDefault();
      const at = Math.max(0, Math.min(buckets - 1, (brush?.at ?? buckets) + step));
      setBrush({ at, anchor: event.shiftKey && brush ? brush.anchor : at });
    } else if (event.key === 'Enter' && brush) {
      event.preventDefault();
      event.stopPropagation();
      state.go(bucketRange(hits, brush.anchor, brush.at));
    } else if (event.key === 'Escape' && brush) {
      event.stopPropagation();
      setBrush(null);
      plot.current?.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }
  };
  const said = brush && hits ? announce(hits, series, brush, utc) : '';
  return html`
    <div class="chart" tabindex="0" role="group" onKeyDown=${onKey}
      aria-label="Histogram. Arrow keys choose a bar, Shift extends, Enter zooms; the Table button shows the numbers.">
      <div class="plot" ref=${root} aria-hidden="true"></div>
      <div class="said" aria-live="polite">${said}</div>
    </div>`;
}

function announce(hits, series, brush, utc) {
  const { from, to } = bucketRange(hits, brush.anchor, brush.at);
  return `${stamp(from, utc, false)} – ${stamp(to, utc, false).slice(11)}: ${count(countIn(series, brush.anchor, brush.at))} events, Enter zooms`;
}

function draw(root, hits, series, utc) {
  const starts = bucketStarts(hits);
  const sums = stacked(series, starts.length);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const seconds = hits.width_ms / 1000;
  const bars = uPlot.paths.bars({ size: [0.86, 64], align: 1, gap: 0 });
  // The tallest sum is drawn first, so that each lower one covers its part of it.
  const order = series.map((_, i) => series.length - 1 - i);
  const options = {
    width: root.clientWidth || 600,
    height: HEIGHT_PX,
    padding: [6, 16, 0, 0],
    tzDate: (at) => (utc ? uPlot.tzDate(new Date(at * 1000), 'Etc/UTC') : new Date(at * 1000)),
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { time: true, range: () => [starts[0], starts.at(-1) + seconds] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.05, 1)] },
    },
    axes: [
      { stroke: color('--dim'), grid: { show: false }, ticks: { show: false }, size: 22, gap: 4, font: '11px system-ui', values: (_, splits, __, ___, step) => splits.map((at) => axisTime(at * 1000, utc, step)) },
      { stroke: color('--dim'), grid: { stroke: color('--grid'), width: 1 }, ticks: { show: false }, size: 40, gap: 4, font: '11px system-ui', splits: quarters, values: (_, splits) => splits.map(short) },
    ],
    series: [{}, ...order.map((i) => {
      const paint = color(`--${levelClass(series[i].level)}`);
      return { paths: bars, points: { show: false }, fill: paint, stroke: paint, width: 0 };
    })],
    hooks: { setSelect: [zoom], setCursor: [(chart) => tooltip(chart, hits, series, utc)], ready: [addTooltip] },
  };
  function zoom(chart) {
    const { left, width: pixels } = chart.select;
    if (pixels < DRAG_PX_MIN) return;
    const bucket = (x) => Math.max(0, Math.min(starts.length - 1, Math.floor((chart.posToVal(x, 'x') - starts[0]) / seconds)));
    state.go(bucketRange(hits, bucket(left), bucket(left + pixels - 0.5)));
  }
  return new uPlot(options, [starts, ...order.map((i) => sums[i])], root);
}

/** Few round lines: none, the middle, the top. */
function quarters(chart, axis, min, max) {
  const rough = max / 2;
  const size = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [5, 2, 1].map((n) => n * size).find((n) => n <= rough) ?? size;
  const splits = [];
  for (let at = 0; at <= max; at += Math.max(step, 1)) splits.push(at);
  return splits;
}

function addTooltip(chart) {
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  chart.over.append(tip);
  chart.tip = tip;
  chart.over.addEventListener('mouseleave', () => { tip.hidden = true; });
}

function tooltip(chart, hits, series, utc) {
  const { left } = chart.cursor;
  if (!chart.tip || left < 0) return;
  const starts = chart.data[0];
  const bucket = Math.floor((chart.posToVal(left, 'x') - starts[0]) / (hits.width_ms / 1000));
  if (bucket < 0 || bucket >= starts.length) return;
  const line = (className, text) => {
    const node = document.createElement('div');
    node.className = className;
    node.textContent = text;
    return node;
  };
  const { from } = bucketRange(hits, bucket, bucket);
  const levels = series.filter(({ counts }) => counts[bucket]).map(({ level, counts }) => line(`entry ${levelClass(level)}`, `${level || 'no level'} ${count(counts[bucket])}`));
  chart.tip.replaceChildren(line('when', stamp(from, utc, false)), ...(levels.length ? levels : [line('entry', 'no events')]));
  chart.tip.hidden = false;
  const wide = chart.over.clientWidth;
  chart.tip.style.left = left > wide / 2 ? '' : `${left + 12}px`;
  chart.tip.style.right = left > wide / 2 ? `${wide - left + 12}px` : '';
}

function BucketTable({ hits, series }) {
  if (!hits) return null;
  const { utc } = state.view.value;
  const starts = bucketStarts(hits);
  const full = starts.map((_, i) => i).filter((i) => series.some(({ counts }) => counts[i]));
  return html`
    <div class="buckets" tabindex="0" role="region" aria-label="Events a bar">
      <table>
        <thead><tr><th scope="col">From</th>${series.map(({ level }) => html`<th scope="col" class="num">${level || 'no level'}</th>`)}<th scope="col" class="num">All</th></tr></thead>
        <tbody>${full.map((i) => {
          const { from } = bucketRange(hits, i, i);
          return html`<tr><th scope="row"><button type="button" onClick=${() => state.go(bucketRange(hits, i, i))}>${stamp(from, utc, false)}</button></th>${series.map(({ counts }) => html`<td class="num">${counts[i] ? count(counts[i]) : ''}</td>`)}<td class="num">${count(countIn(series, i, i))}</td></tr>`;
        })}</tbody>
      </table>
    </div>`;
}
