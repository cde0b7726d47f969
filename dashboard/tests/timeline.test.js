// What the live chart draws; pages.rs runs it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timeline, figures, points } from '../static/timeline.js';

const rate = (from, to, down, up = 1) => ({ from, to, down, up });
const downs = (stretches) => stretches.map(({ from, to, down }) => [from, to, down]);

test('the line ends when no word comes and never falls to zero', () => {
  const timeline = new Timeline();
  timeline.add('a', rate(0, 10, 5));
  timeline.add('a', rate(20, 30, 7));
  const drawn = points(timeline.stretches(0, 60));
  assert.deepEqual(drawn[0], [0, 10, 10, 20, 30]);
  assert.deepEqual(drawn[1], [5, 5, null, 7, 7]);
});

test('sessions of one login add up where they overlap', () => {
  const timeline = new Timeline();
  timeline.add('a', rate(0, 20, 5));
  timeline.add('b', rate(10, 30, 1));
  assert.deepEqual(downs(timeline.stretches(0, 60)), [[0, 10, 5], [10, 20, 6], [20, 30, 1]]);
});

test('the same report twice counts once', () => {
  const timeline = new Timeline();
  timeline.add('a', rate(0, 10, 5));
  timeline.add('a', rate(0, 10, 5));
  assert.deepEqual(downs(timeline.stretches(0, 60)), [[0, 10, 5]]);
});

test('the archive fills what no live rate covers and cuts none', () => {
  const timeline = new Timeline();
  timeline.archive([rate(0, 300, 4), rate(300, 600, 6)]);
  timeline.add('a', rate(290, 310, 9));
  assert.deepEqual(downs(timeline.stretches(100, 700)), [[100, 290, 4], [290, 310, 9], [310, 600, 6]]);
});

test('the average weighs each rate by its time and leaves out what is unknown', () => {
  const timeline = new Timeline();
  timeline.add('a', rate(0, 30, 2));
  timeline.add('a', rate(50, 60, 6));
  assert.deepEqual(figures(timeline.stretches(0, 100), 'down'), { average: 3, maximum: 6 });
  assert.equal(figures(timeline.stretches(70, 100), 'down'), null);
});
