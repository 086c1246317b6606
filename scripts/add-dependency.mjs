// `npm run add -- NAME[@VERSION] [-D]`: adds a dependency with npm running on Node 24, then proves that `npm ci` still works.
// Under an older Node, npm silently picks older majors of packages that need a newer one.
import { execFileSync } from 'node:child_process';

const npm = process.env.npm_execpath;
if (!npm || process.argv.length < 3) {
  console.error('Usage: npm run add -- NAME[@VERSION] [-D]');
  process.exit(2);
}
execFileSync(process.execPath, [npm, 'install', ...process.argv.slice(2)], { stdio: 'inherit' });
execFileSync(process.execPath, [npm, 'ci'], { stdio: 'inherit' });
