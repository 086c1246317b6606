// The systemd unit: sound to systemd itself, shut in, one signal to one process, time enough to stop.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import { isInProject } from './dockerfile.ts';
import { readProjectFile, reasonForNo, ROOT, runTool } from './tools.ts';

const text = readProjectFile('deploy/systemd/novelai-proxy.service');
/** The last value of each setting, which is the one that holds where it is no list. */
const settings = new Map([...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
/** systemd's own measure, tenths of a point: 100 is not shut in at all. Anything from 5 points on it calls medium. */
const MOST_EXPOSURE = '20';

/** The unit with a program that is there on every machine, in a folder of its own. */
function derive(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'systemd-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'novelai-proxy.service');
  writeFileSync(file, text.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
  return file;
}

const skip = reasonForNo('systemd-analyze', 'systemd');

test('systemd, the unit is sound to systemd', { skip }, async (t) => {
  assert.equal(await runTool('systemd-analyze', ['verify', '--man=no', derive(t)]), '');
});

test('systemd, the unit is shut in by its own measure', { skip }, async (t) => {
  const said = await runTool('systemd-analyze', [
    'security',
    '--no-pager',
    '--offline=true',
    `--threshold=${MOST_EXPOSURE}`,
    derive(t),
  ]);
  t.diagnostic(/Overall exposure.*/.exec(said)?.[0] ?? said);
});

test('systemd, stops with one signal to one process, and waits longer than the service takes at most', () => {
  assert.equal(settings.get('KillSignal'), 'SIGTERM');
  assert.equal(settings.get('KillMode'), 'mixed');
  assert.equal(settings.get('ExecReload'), '/bin/kill -HUP $MAINPID');
  const { limits } = readConfig({ NOVEL_TOKEN: 'made-up-token', SERVER_TOKENS: 'made-up' });
  assert.ok(Number.parseInt(settings.get('TimeoutStopSec') ?? '', 10) * 1000 >= limits.shutdownMs + 10_000);
});

test('systemd, the folders it makes are those the service is told to use', () => {
  const environment = settings.get('Environment') ?? '';
  assert.ok(environment.includes(`DATA_DIR=%S/${settings.get('StateDirectory')}`));
  assert.ok(environment.includes(`LOG_DIR=%L/${settings.get('LogsDirectory')}`));
  const program = /\/(bin\/\S+\.mjs) serve$/.exec(settings.get('ExecStart') ?? '')?.[1];
  assert.ok(program && isInProject(program), settings.get('ExecStart'));
});

test("systemd, V8's machine code stays allowed", () => {
  assert.equal(settings.get('MemoryDenyWriteExecute'), 'no');
});

test('systemd, a configuration that cannot be used is not started over and over', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'systemd-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const command = [join(ROOT, 'bin/novelai-proxy.mjs'), 'serve'];
  const { status } = spawnSync(process.execPath, command, { cwd: dir, env: { PORT: 'none' } });
  assert.equal(String(status), settings.get('RestartPreventExitStatus'));
});
