// Installs one client into its own folder of .cache, once: a venv for Python, an npm prefix for Node.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClientSpec } from './manifest.ts';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const INSTALL_LIMIT_MS = 240_000;

/** Gives the folder the client is installed in. */
export function homeOf(client: ClientSpec): string {
  return join(here, '.cache', client.name);
}

/** Gives the program that runs the client's script: its venv's Python, or this Node. */
export function interpreterOf(client: ClientSpec): string {
  return client.runtime === 'python' ? join(homeOf(client), 'bin', 'python') : process.execPath;
}

/** The client cannot be tried on this machine, for a reason that is not the client's or the service's fault. */
export class CannotInstall extends Error {}

/**
 * Installs the client unless the same release with the same requirements is there already.
 * @returns Whether anything had to be installed.
 * @throws CannotInstall when the machine lacks what the client needs; the package manager's own error otherwise.
 */
export async function install(client: ClientSpec): Promise<boolean> {
  const home = homeOf(client);
  const marker = join(home, 'installed.json');
  const lock = lockOf(client);
  const wanted = JSON.stringify([client.package, client.version, client.alsoRequires, client.minPythonMinor, lock]);
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return false;
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  await (client.runtime === 'python' ? installPython(client, home) : installNode(client, home));
  writeFileSync(marker, wanted);
  return true;
}

/** Exact releases of everything the Python client pulls in, so that a run today and one in a year try the same thing. */
function lockPath(client: ClientSpec): string {
  return join(here, 'locks', `${client.name}.txt`);
}

function lockOf(client: ClientSpec): string {
  const path = lockPath(client);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

async function installPython(client: ClientSpec, home: string): Promise<void> {
  const python = await findPython(client.minPythonMinor ?? 10);
  try {
    await run(python, ['-m', 'venv', home], { timeout: INSTALL_LIMIT_MS });
  } catch (cause) {
    throw new CannotInstall(`${python} cannot make a venv (on Debian: install python3-venv)`, { cause });
  }
  const locked = existsSync(lockPath(client)) ? ['--constraint', lockPath(client)] : [];
  const requirements = [`${client.package}==${client.version}`, ...(client.alsoRequires ?? [])];
  await run(
    join(home, 'bin', 'python'),
    ['-m', 'pip', 'install', '--quiet', '--no-compile', '--disable-pip-version-check', ...locked, ...requirements],
    { timeout: INSTALL_LIMIT_MS, maxBuffer: 1 << 26 },
  );
}

async function installNode(client: ClientSpec, home: string): Promise<void> {
  writeFileSync(join(home, 'package.json'), '{"private":true}\n');
  // npm is run by whichever `node` comes first, and picks releases by that Node's version.
  const path = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);
  const flags = ['--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact', '--loglevel=error'];
  await run('npm', ['install', '--prefix', home, ...flags, `${client.package}@${client.version}`], {
    cwd: home,
    env: { ...process.env, PATH: path },
    timeout: INSTALL_LIMIT_MS,
    maxBuffer: 1 << 26,
  });
}

/** Gives a Python of at least 3.`minMinor`: the machine's own, else a versioned one on the path or one that pyenv keeps. */
async function findPython(minMinor: number): Promise<string> {
  const pyenv = join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions');
  const byVersion = new Intl.Collator('en', { numeric: true });
  const kept = existsSync(pyenv) ? readdirSync(pyenv).toSorted(byVersion.compare) : [];
  const candidates = [
    'python3',
    ...[12, 13, 14].map((minor) => `python3.${minor}`),
    ...kept.map((name) => join(pyenv, name, 'bin', 'python3')),
  ];
  for (const command of candidates) {
    const minor = await pythonMinor(command);
    if (minor !== undefined && minor >= minMinor) return command;
  }
  throw new CannotInstall(`needs Python 3.${minMinor} or newer, and this machine has none`);
}

async function pythonMinor(command: string): Promise<number | undefined> {
  try {
    const { stdout } = await run(command, ['-c', 'import sys; print(*sys.version_info[:2])']);
    const [major, minor] = stdout.trim().split(' ').map(Number);
    return major === 3 ? minor : undefined;
  } catch {
    return undefined;
  }
}
