// Numbers, sizes and moments as a person reads them.

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = value => value === null || value === undefined ? '–' : plain.format(value);
export const compact = value => value < 10_000 ? plain.format(value) : short.format(value).replace('K', ' k').replace('M', ' M').replace('B', ' G');

export function rate(value) {
  if (value === null || value === undefined) return '–';
  if (value > 0 && value < 0.05) return '< 0.1';
  return value < 10 ? String(Math.round(value * 10) / 10) : compact(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

export function micros(us) {
  if (!us) return '–';
  if (us < 1_000) return `${us} µs`;
  if (us < 10_000) return `${(us / 1_000).toFixed(1)} ms`;
  if (us < 1_000_000) return `${Math.round(us / 1_000)} ms`;
  return us > 1e9 ? 'over a minute' : `${(us / 1e6).toFixed(1)} s`;
}

export function duration(seconds) {
  const parts = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return seconds > 0 ? 'under 1 s' : '0 s';
  let rest = seconds;
  return parts.slice(first, first + 2).map(([size, unit]) => {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    return whole ? `${whole} ${unit}` : '';
  }).filter(Boolean).join(' ');
}

export const ago = time => duration(Math.max(0, (Date.now() - new Date(time)) / 1_000));
export const clock = time => new Date(time).toLocaleTimeString([], { hour12: false }) + time.slice(19, 23);
export const moment = time => new Date(time).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });

/// A payload as text; JSON is laid out. `kind` says what it is.
export function payload(event) {
  if (event.hidden) return { kind: 'hidden', text: `${bytes(event.size)}, hidden: role observer` };
  if (event.payload === undefined) return { kind: 'bytes', text: event.payload_base64 };
  if (event.payload === '') return { kind: 'empty', text: 'empty' };
  if (!event.cut && /^\s*[[{]/.test(event.payload)) {
    try { return { kind: 'json', text: JSON.stringify(JSON.parse(event.payload), null, 2) }; } catch { /* text, then */ }
  }
  return { kind: 'text', text: event.payload };
}
