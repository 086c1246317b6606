// The faults that the trials plant still find the sound source they replace: a trial takes minutes to tell.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CHARGES_PLANTS, KILL_PLANTS } from '../faults/money-plants.ts';
import { PLANTS } from '../faults/plants.ts';

const ROOT = new URL('../..', import.meta.url);

for (const [name, { file, sound }] of Object.entries({ ...PLANTS, ...CHARGES_PLANTS, ...KILL_PLANTS }))
  test(`planted fault "${name}", the source it replaces is there once`, () => {
    const source = readFileSync(new URL(`.${file}`, ROOT), 'utf8');
    assert.equal(source.split(sound).length - 1, 1, `adapt it to ${file}`);
  });
