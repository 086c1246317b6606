// The programs of others that these tests need: where they are, and what it means when they are not there.
import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Debian keeps servers out of an ordinary user's path. */
const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

/** Gives the path of a program, or undefined where it is not installed. */
export function findTool(name: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, name)).find(isExecutable);
}

/** Why a test without this program is skipped, or false when it is there. Throws where nothing may be skipped. */
export function reasonForNo(name: string, debianPackage: string): string | false {
  if (findTool(name)) return false;
  const reason = `${name} is not installed (Debian: ${debianPackage})`;
  if (process.env['CI'] === 'true') throw new Error(`${reason}.`);
  return reason;
}

/** Runs a program to its end and gives what it said on both outputs. Rejects with all of that when it fails. */
export async function runTool(name: string, args: readonly string[], cwd = ROOT): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(findTool(name) ?? name, args, { cwd });
    return stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${name} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

/** Reads a file of the project. */
export function readProjectFile(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
