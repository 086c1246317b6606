// Tests of the amounts people write in settings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDurationMs, parseSizeBytes } from '../../../src/lib/units.ts';

test('duration, every unit in either case and with spaces gives its milliseconds', () => {
  const expected: Record<string, number> = {
    '500ms': 500,
    '30s': 30_000,
    '10m': 600_000,
    '2h': 7_200_000,
    '1d': 86_400_000,
    '30': 30_000,
    '0': 0,
    ' 1.5 H ': 5_400_000,
    '0.25s': 250,
  };
  for (const [text, ms] of Object.entries(expected)) assert.equal(parseDurationMs(text), ms, text);
});

test('size, every unit in either case gives its bytes', () => {
  const expected: Record<string, number> = {
    '32mb': 33_554_432,
    '512k': 524_288,
    '1g': 1_073_741_824,
    '1GB': 1_073_741_824,
    '10M': 10_485_760,
    '100': 100,
    '7b': 7,
  };
  for (const [text, bytes] of Object.entries(expected)) assert.equal(parseSizeBytes(text), bytes, text);
});

test('amounts, whatever is not a number and a known unit is undefined', () => {
  for (const text of [
    '',
    ' ',
    's',
    '-5s',
    '+5s',
    '1,5s',
    '5 s s',
    '1e3',
    '0x10',
    'Infinity',
    'NaN',
    '5y',
    '5mb',
    '. 5s',
  ])
    assert.equal(parseDurationMs(text), undefined, text);
  for (const text of ['', 'mb', '-1k', '5tb', '5 m b', '10s']) assert.equal(parseSizeBytes(text), undefined, text);
});

test('amounts, a unit named like a member of every object is unknown', () => {
  assert.equal(parseDurationMs('5constructor'), undefined);
  assert.equal(parseSizeBytes('5constructor'), undefined);
});

test('amounts, a number too great to be exact is undefined rather than Infinity', () => {
  assert.equal(parseDurationMs('9'.repeat(400)), undefined);
  assert.equal(parseSizeBytes(`${'9'.repeat(30)}gb`), undefined);
});
