// What is active, folded from what is told: plain functions, so that they can be tried without a page.

const ROOTS = new Map([['alerts', 'actual'], ['alerts-exercise', 'exercise'], ['alerts-test', 'test']]);
const WORDS = new Set(['open', 'close', 'update', 'all-clear', 'pre-alert', 'pre-alert-end']);
const MIXED = 'Mixed Threats';

// A topic's parts: which lane, which place, which stage.
export function partsOf(topic) {
  const [root, level, stage] = topic.split('/');
  return { status: ROOTS.get(root), level, stage };
}

// The next state after an event, and what a person is told of it; `null` for what says nothing.
export function fold(active, event, now) {
  const { status, level, stage } = partsOf(event.topic);
  if (!status || !event.payload) return null;
  let said;
  try { said = JSON.parse(event.payload); } catch { return null; }
  const word = String(said?.eventType).replace(/^(test|exercise)-/, '');
  if (!WORDS.has(word)) return null;
  const key = `${status}/${stage === 'pre-alert' ? 'pre-alert' : 'alert'}/${level}`;
  const told = {
    key, status, word, location: String(said.location), type: String(said.type), sentTime: said.sentTime, end: Date.parse(said.duration),
    stage: stage === 'pre-alert' ? 'pre-alert' : 'alert',
  };
  if (!Number.isFinite(told.end)) return null;
  const next = new Map(active);
  const had = next.get(key);
  const isThere = had && had.end > now;
  if (word === 'all-clear' || word === 'pre-alert-end') {
    next.delete(key);
    return { active: next, told, isNews: Boolean(had) };
  }
  if (word === 'open' && isThere) {
    // Its `close` or `update` follows where it changes more than this.
    const type = had.type === told.type ? had.type : MIXED;
    next.set(key, { ...had, type, end: Math.max(had.end, told.end) });
    return { active: next, told, isNews: true };
  }
  if (told.end <= now) return { active, told, isNews: false };
  next.set(key, { ...told, seenAt: had?.seenAt ?? now });
  return { active: next, told, isNews: word === 'open' || word === 'pre-alert' || !isThere };
}

// What is over by its own end is not shown any longer, whether its all-clear has come or not.
export function current(active, now) {
  return [...active.values()].filter(alert => alert.end > now).sort((a, b) => rank(a) - rank(b) || b.seenAt - a.seenAt);
}

const rank = alert => (alert.status === 'actual' ? 0 : 2) + (alert.stage === 'alert' ? 0 : 1);
