// Runs one of the money trials and prints its report as JSON: `node test/faults/run-money.ts charges REQUESTS` or `... kill SECONDS`.
// Exit code 1 when the books were wrong.
import { runCharges } from './charges.ts';

const [trial, amount] = process.argv.slice(2);
const size = Number(amount);
// Over a planted fault a trial may never end by itself.
const watchdog = setTimeout(
  () => {
    process.stderr.write('The trial did not end.\n');
    process.exit(1);
  },
  trial === 'charges' ? 60_000 + size * 40 : 120_000 + size * 1000,
);
const report = await runCharges({ requests: size });
clearTimeout(watchdog);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.problems.length > 0 ? 1 : 0);
