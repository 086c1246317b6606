// `npm run check-package`: proves that the built package works where it is installed: packs it, unpacks it into a node_modules folder, runs the command.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'package-'));
try {
  const installed = join(folder, 'node_modules', 'novelai-proxy-service');
  mkdirSync(installed, { recursive: true });
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, encoding: 'utf8' }),
  );
  execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1']);
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  const command = [join(installed, 'bin', 'novelai-proxy.mjs')];
  const version = execFileSync(process.execPath, [...command, '--version'], { cwd: folder, encoding: 'utf8' }).trim();
  if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`the installed command says "${version}" to --version`);
  execFileSync(process.execPath, [...command, 'demo', '--once', '--port', '0'], { cwd: folder, stdio: 'inherit' });
  console.log(
    `The package ${packed.filename} (${packed.entryCount} files, ${Math.round(packed.size / 1024)} KiB) works where it is installed.`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
