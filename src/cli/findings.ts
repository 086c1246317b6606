// Findings as a person reads them: what is well, what is not, and what to do.
import { styleText } from 'node:util';
import type { Finding } from './check-account.ts';
import type { CommandIo } from './command-io.ts';

const MARKS = { ok: '✓', warn: '!', fault: '✗' } as const;
const COLOURS = { ok: 'green', warn: 'yellow', fault: 'red' } as const;

export function printFindings(io: CommandIo, findings: readonly Finding[]): void {
  for (const { level, what, detail, advice } of findings) {
    const mark = io.isInteractive ? styleText(COLOURS[level], MARKS[level]) : MARKS[level];
    io.print(`${mark} ${what}: ${detail}`);
    if (advice !== undefined) io.print(`    ${advice}`);
  }
}
