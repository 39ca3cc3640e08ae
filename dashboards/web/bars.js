// The histogram's numbers: which levels there are, stacked how. Pure.
import { LEVELS } from './text.js';

/**
 * Series in the order of severity, errors at the base where their heights can be compared, with the events without a
 * level last.
 * @returns {{level: string, counts: number[], total: number}[]}
 */
export function levelSeries(hits) {
  const series = hits?.series ?? {};
  const known = LEVELS.filter((level) => series[level]);
  const others = Object.keys(series).filter((level) => !LEVELS.includes(level)).sort();
  return [...known, ...others].map((level) => {
    const counts = series[level];
    return { level, counts, total: counts.reduce((sum, count) => sum + count, 0) };
  }).filter(({ total }) => total > 0);
}

/** Seconds at which the buckets begin. */
export function bucketStarts(hits) {
  const length = Math.max(0, ...Object.values(hits.series).map((counts) => counts.length));
  const begin = Date.parse(hits.from);
  const buckets = length || Math.max(1, Math.ceil((Date.parse(hits.to) - begin) / hits.width_ms));
  return Array.from({ length: buckets }, (_, i) => (begin + i * hits.width_ms) / 1000);
}

/** Running sums from the base up; the last one is the whole. */
export function stacked(series, buckets) {
  const sums = new Array(buckets).fill(0);
  return series.map(({ counts }) => {
    for (let i = 0; i < buckets; i += 1) sums[i] += counts[i] ?? 0;
    return [...sums];
  });
}

/** Buckets `[first, last]` as the range of a search. */
export function bucketRange(hits, first, last) {
  const begin = Date.parse(hits.from);
  const iso = (ms) => new Date(ms).toISOString();
  return { from: iso(begin + Math.min(first, last) * hits.width_ms), to: iso(begin + (Math.max(first, last) + 1) * hits.width_ms) };
}

/** Events in buckets `[first, last]`. */
export function countIn(series, first, last) {
  const [low, high] = first <= last ? [first, last] : [last, first];
  return series.reduce((sum, { counts }) => sum + counts.slice(low, high + 1).reduce((a, b) => a + b, 0), 0);
}
