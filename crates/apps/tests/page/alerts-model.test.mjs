// How the page of alerts folds what is told; run by scripts/drive-alerts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { current, fold } from '../../src/alerts/page/model.js';
import { PLACES, whereIs } from '../../src/alerts/page/places.js';

const NOW = Date.parse('2026-11-21T07:15:00Z');
const told = (eventType, type, end, topic = 'alerts/Haifa/alert') => ({
  topic, payload: JSON.stringify({ eventType, location: 'Haifa', type, sentTime: '2026-11-21T07:15:00Z', duration: `2026-11-21T${end}:00.000Z` }),
});
const folded = events => events.reduce((active, event) => fold(active, event, NOW)?.active ?? active, new Map());
const shown = (events, now = NOW) => current(folded(events), now).map(alert => [alert.status, alert.stage, alert.type, new Date(alert.end).toISOString().slice(11, 16)]);

test('an open is shown until its end, or its all-clear', () => {
  const open = told('open', 'Rockets', '07:25');
  assert.deepEqual(shown([open]), [['actual', 'alert', 'Rockets', '07:25']]);
  assert.deepEqual(shown([open], Date.parse('2026-11-21T07:25:00Z')), []);
  assert.deepEqual(shown([open, told('all-clear', 'Rockets', '07:25', 'alerts/Haifa/all-clear')]), []);
});

test('a shorter open of another type mixes, and a close replaces', () => {
  assert.deepEqual(shown([told('open', 'Rockets', '07:25'), told('open', 'Fire', '07:20')]), [['actual', 'alert', 'Mixed Threats', '07:25']]);
  const closed = [told('open', 'Rockets', '07:25'), told('open', 'Rockets', '07:30'), told('close', 'Rockets', '07:30')];
  assert.deepEqual(shown(closed), [['actual', 'alert', 'Rockets', '07:30']]);
  assert.deepEqual(shown([...closed, told('update', 'Storm', '07:20', 'alerts/Haifa/update')]), [['actual', 'alert', 'Storm', '07:20']]);
});

test('tests, exercises and pre-alerts never become alerts', () => {
  const all = [
    told('pre-alert', 'Storm', '07:40', 'alerts/Haifa/pre-alert'),
    told('test-open', 'TEST: Storm', '07:40', 'alerts-test/Haifa/alert'),
    told('exercise-open', 'EXERCISE: Storm', '07:40', 'alerts-exercise/Haifa/alert'),
  ];
  assert.deepEqual(shown(all).map(([status, stage]) => `${status} ${stage}`), ['actual pre-alert', 'test alert', 'exercise alert']);
  assert.deepEqual(shown([...all, told('pre-alert-end', 'Storm', '07:40', 'alerts/Haifa/pre-alert')]).length, 2);
});

test('what can not be read, and states that end, change nothing', () => {
  for (const payload of ['', '{', 'null', '[]', '{"eventType":"open"}', '{"duration":"never"}']) {
    const after = fold(new Map(), { topic: 'alerts/Haifa/alert', payload }, NOW);
    assert.equal(after, null, payload);
  }
  assert.equal(fold(new Map(), { ...told('open', 'x', '07:25'), topic: 'other/Haifa/alert' }, NOW), null);
  assert.equal(fold(new Map(), { ...told('open', 'x', '07:25'), topic: 'constructor/Haifa/alert' }, NOW), null);
  assert.equal(fold(new Map(), told('siren', 'x', '07:25'), NOW), null);
});

test('a place is found as CAP draws it, by its name, by the name of its country, or not at all', () => {
  const countries = { france: [46.6, 2.5] };
  assert.deepEqual(whereIs('nowhere', { polygons: ['10,20 10,22 12,22 12,20'] }, countries), [11, 21]);
  assert.deepEqual(whereIs('nowhere', { circles: ['1.5,2 10'] }, countries), [1.5, 2]);
  assert.deepEqual(whereIs('HAIFA', null, countries), PLACES.Haifa);
  assert.deepEqual(whereIs('Tel Aviv - Yafo', null, countries), PLACES['Tel Aviv']);
  assert.deepEqual(whereIs('France', null, countries), [46.6, 2.5]);
  assert.equal(whereIs('Atlantis', null, countries), null);
});
