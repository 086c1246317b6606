// Runs one storm and prints its report as JSON: `node test/faults/run-storm.ts REQUESTS [FAULT_SHARE] [LEAVER_SHARE]`. Exit code 1
// when an invariant broke.
import { runStorm } from './storm.ts';

const [requests = 1000, faultShare = 0.05, leaverShare = 0.03] = process.argv.slice(2).map(Number);
// A storm over a planted fault may never end by itself.
const watchdog = setTimeout(
  () => {
    process.stderr.write('The storm did not end.\n');
    process.exit(1);
  },
  40_000 + requests * 20,
);
const report = await runStorm({ requests, faultShare, leaverShare });
clearTimeout(watchdog);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.problems.length > 0 ? 1 : 0);
