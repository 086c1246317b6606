// The documents keep up with the code: every variable is explained, every script they name exists, every link leads somewhere.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CONFIG_VARIABLES } from '../../src/config/load-config.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string) => readFileSync(join(ROOT, name), 'utf8');
const documents = () => ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: ROOT })];

test('.env.example, explains every variable and no other', () => {
  const explained = [...read('.env.example').matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name ?? '');
  assert.deepEqual(explained.toSorted(), [...CONFIG_VARIABLES].toSorted());
});

test('documents, every npm script they name exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const name of documents())
    for (const [, script = ''] of read(name).matchAll(/npm run ([\w:-]+)/g))
      assert.ok(script in scripts, `${name}: npm run ${script}`);
});

test('documents, every link to a file leads somewhere', () => {
  for (const name of documents())
    for (const [, target = ''] of read(name).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g))
      assert.ok(existsSync(resolve(ROOT, dirname(name), target)), `${name}: ${target}`);
});

test('dependencies, each has its line', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const text = read('docs/dependencies.md');
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) assert.ok(text.includes(name), name);
});
