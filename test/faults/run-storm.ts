// Runs one storm and prints its report as JSON: `node test/faults/run-storm.ts '{"requests":1000}'`. Exit code 1 when an invariant
// broke.
import { runStorm, type StormOptions } from './storm.ts';

const options = { requests: 1000, ...(JSON.parse(process.argv[2] ?? '{}') as Partial<StormOptions>) };
// A storm over a planted fault may never end by itself.
const watchdog = setTimeout(
  () => {
    process.stderr.write('The storm did not end.\n');
    process.exit(1);
  },
  40_000 + options.requests * 20,
);
const report = await runStorm(options);
clearTimeout(watchdog);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.problems.length > 0 ? 1 : 0);
