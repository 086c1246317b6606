// The service where it is installed, in a folder that looks like a clone or like the built package: nothing of this clone's own
// settings, data and logs is used.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This clone. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The command in such a folder. */
export const COMMAND = 'bin/novelai-proxy.mjs';

/** A clone, with its packages installed. */
export function clone(dir: string): void {
  lay(dir, ['bin', 'src', 'simulator']);
}

/** What `npm run build` and an installation give. */
export function install(dir: string): void {
  lay(dir, ['bin']);
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), join(dir, 'dist')]);
}

function lay(dir: string, folders: readonly string[]): void {
  mkdirSync(dir, { recursive: true });
  copyFileSync(join(ROOT, 'package.json'), join(dir, 'package.json'));
  for (const name of folders) cpSync(join(ROOT, name), join(dir, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
}
