// What became of named things.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameChanges } from '../../../src/lib/name-changes.ts';

test('name changes, added, removed and replaced ones are told apart from those that stayed', () => {
  const before = [
    { name: 'stays', of: 1 },
    { name: 'changes', of: 1 },
    { name: 'goes', of: 1 },
  ];
  const after = [
    { name: 'comes', of: 1 },
    { name: 'changes', of: 2 },
    { name: 'stays', of: 1 },
  ];
  assert.deepEqual(nameChanges(before, after), { added: ['comes'], removed: ['goes'], replaced: ['changes'] });
  assert.deepEqual(nameChanges(before, before.toReversed()), { added: [], removed: [], replaced: [] });
});
