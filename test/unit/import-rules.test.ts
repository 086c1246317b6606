// Holds the house to its plan: which folder may import which. Says in one sentence where code that breaks it should go.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Rooms from top to bottom; imports go down only, never up, and never between rooms of one line. */
const LINES = [
  ['src'],
  ['src/cli'],
  ['src/http'],
  ['src/dialects'],
  ['src/dispatch'],
  ['src/accounts', 'src/clients', 'src/ledger', 'src/bank'],
  ['src/upstream', 'src/store'],
  ['src/scheduler', 'src/novelai', 'src/telemetry'],
  ['src/config', 'src/lib'],
];
/** Rooms outside the order, with what they may import. */
const ASIDE: Readonly<Record<string, readonly string[]>> = {
  simulator: ['src/novelai', 'src/lib'],
};
/** The simulator is a product feature: the command line starts it. */
const MAY_IMPORT_SIMULATOR: ReadonlySet<string> = new Set(['src', 'src/cli']);
/** `config` reads units and makes tokens with `lib`; `lib` stands on nothing. */
const ALLOWED_ACROSS = new Set(['src/config -> src/lib']);
/** Rooms that do no I/O and read no clock or chance: built-in modules they may use. */
const PURE_ROOMS: Readonly<Record<string, readonly string[]>> = {
  'src/scheduler': [],
  'src/novelai': ['node:crypto', 'node:zlib', 'node:util', 'node:buffer'],
};

function roomOf(file: string): string {
  const [top = '', second = ''] = relative(ROOT, file).split('/');
  if (top !== 'src') return top;
  return second.includes('.') ? 'src' : `src/${second}`;
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

/** Gives a sentence when a file of room `from` must not import from room `to`. */
function complaint(from: string, to: string): string | undefined {
  if (from === to || ALLOWED_ACROSS.has(`${from} -> ${to}`)) return undefined;
  const allowed = ASIDE[from];
  if (allowed)
    return allowed.includes(to) ? undefined : `${from}/ stands apart and may import only ${allowed.join(' and ')}`;
  if (to in ASIDE)
    return MAY_IMPORT_SIMULATOR.has(from) ? undefined : `${to}/ may be imported only by the command line`;
  const fromLine = LINES.findIndex((line) => line.includes(from));
  const toLine = LINES.findIndex((line) => line.includes(to));
  if (fromLine === -1 || toLine === -1)
    return `${fromLine === -1 ? from : to}/ is no room of the house; see docs/architecture.md`;
  if (toLine > fromLine) return undefined;
  const below = LINES[Math.max(fromLine, toLine) + 1]?.join(', ') ?? 'nothing';
  return `${from}/ must not import ${to}/: what both need belongs in a room below both (${below}), or is passed in from above`;
}

function complaintsAbout(files: readonly string[]): string[] {
  return files.flatMap((file) =>
    importsOf(file).flatMap((specifier) => {
      const name = relative(ROOT, file);
      const from = roomOf(file);
      if (specifier.startsWith('.')) {
        const why = complaint(from, roomOf(resolve(dirname(file), specifier)));
        return why ? [`${name} imports ${specifier}: ${why}`] : [];
      }
      const pure = PURE_ROOMS[from];
      const isForbidden = pure && specifier.startsWith('node:') && !pure.includes(specifier);
      return isForbidden ? [`${name} imports ${specifier}: ${from}/ is pure, so what it needs must be passed in`] : [];
    }),
  );
}

test('import rules, every file keeps them', () => {
  const files = globSync(['src/**/*.ts', 'simulator/**/*.ts'], { cwd: ROOT }).map((file) => resolve(ROOT, file));
  assert.ok(files.length > 30, 'the walk found the source');
  assert.deepEqual(complaintsAbout(files), []);
});

test('import rules, pure rooms read neither clock nor chance', () => {
  const files = globSync(['src/scheduler/*.ts', 'src/novelai/*.ts'], { cwd: ROOT });
  const sinners = files.filter((file) =>
    /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|process\.)/.test(
      readFileSync(resolve(ROOT, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ''),
    ),
  );
  assert.deepEqual(sinners, []);
});

test('import rules, a breach is noticed', () => {
  assert.match(complaint('src/novelai', 'src/upstream') ?? '', /room below both/);
  assert.match(complaint('src/accounts', 'src/ledger') ?? '', /room below both/);
  assert.match(complaint('simulator', 'src/dispatch') ?? '', /stands apart/);
  assert.match(complaint('src/dispatch', 'simulator') ?? '', /only by the command line/);
  assert.equal(complaint('src/dispatch', 'src/lib'), undefined);
});
