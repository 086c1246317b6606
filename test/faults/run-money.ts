// Runs one of the money trials and prints its report as JSON: `node test/faults/run-money.ts charges REQUESTS`, or
// `... kill SECONDS [LEAST_LIFE_MS LONGEST_LIFE_MS [LATENCY_FACTOR [PLANT]]]`. Exit code 1 when the books were wrong.
import { runCharges } from './charges.ts';
import { runKill } from './kill.ts';

const [trial, amount, leastLifeMs = 5000, longestLifeMs = 20_000, latencyFactor = 0.6, plant] = process.argv.slice(2);
const size = Number(amount);
// Over a planted fault a trial may never end by itself.
const watchdog = setTimeout(
  () => {
    process.stderr.write('The trial did not end.\n');
    process.exit(1);
  },
  trial === 'charges' ? 60_000 + size * 40 : 120_000 + size * 1000,
);
const report =
  trial === 'charges'
    ? await runCharges({ requests: size })
    : await runKill({
        seconds: size,
        lifeMs: [Number(leastLifeMs), Number(longestLifeMs)],
        latencyFactor: Number(latencyFactor),
        plant,
      });
clearTimeout(watchdog);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.problems.length > 0 ? 1 : 0);
