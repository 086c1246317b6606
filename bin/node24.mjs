// Finds a Node that can run this project (24 or newer) and runs it with the arguments given.
//
// The project is TypeScript that Node 24 executes as it is. Where the machine's own Node is older, npm has brought a
// Node 24 binary as an optional dependency, and this file hands over to that one.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const REQUIRED_MAJOR = 24;

export const isNodeNewEnough = Number(process.versions.node.split('.')[0]) >= REQUIRED_MAJOR;

/** Gives the path of a Node >= 24, or throws one sentence that says how to get one. */
export function findNode() {
  if (isNodeNewEnough) return process.execPath;
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const binary = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';
  try {
    return createRequire(import.meta.url).resolve(`node-${platform}-${process.arch}/${binary}`);
  } catch (cause) {
    throw new Error(
      `This needs Node ${REQUIRED_MAJOR} or newer; this is Node ${process.versions.node}, and npm brought no Node ${REQUIRED_MAJOR} ` +
        `for ${process.platform} ${process.arch}. Install Node ${REQUIRED_MAJOR} from nodejs.org, or run \`npm ci\` without --omit=optional.`,
      { cause },
    );
  }
}

/**
 * Runs Node >= 24 with `args` on this terminal and ends this process as that one ended. SIGTERM and SIGINT reach the
 * child exactly once: a terminal's Ctrl-C goes to the whole foreground group by itself, so there it is only waited for.
 */
export function runNode(args, env = process.env) {
  const child = spawn(findNode(), args, { stdio: 'inherit', env });
  const isTerminalGroup = Boolean(process.stdin.isTTY);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGINT', () => {
    if (!isTerminalGroup) child.kill('SIGINT');
  });
  process.on('SIGHUP', () => {
    if (!isTerminalGroup) child.kill('SIGHUP');
  });
  child.on('error', (error) => {
    console.error(`Could not start Node ${REQUIRED_MAJOR}: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
}

/** Starts this process anew, with these arguments, under the same number and without a parent. Gives false where that cannot be done. */
export function replaceWithNode(args, env) {
  // Windows has no such call, and Node before 24 none either.
  if (process.platform === 'win32' || !process.execve) return false;
  process.removeAllListeners('warning');
  process.execve(process.execPath, [process.execPath, ...args], env);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    runNode(process.argv.slice(2));
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
