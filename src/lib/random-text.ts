// Unguessable and merely distinct short texts.
import { randomInt } from 'node:crypto';

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Gives `length` random letters and digits from the system's secure source. */
export function randomAlphanumerics(length: number): string {
  let text = '';
  while (text.length < length) text += LETTERS_AND_DIGITS[randomInt(LETTERS_AND_DIGITS.length)];
  return text;
}

/** Gives a new client token in the only form every NovelAI client accepts: `pst-` and 64 letters and digits (contract 2.4). */
export function newClientToken(): string {
  return `pst-${randomAlphanumerics(64)}`;
}

let counter = 0;
const processPart = randomAlphanumerics(8);

/** Gives an id that is unique for this process and practically so beyond it; short, sortable within a process, no secret. */
export function newRequestId(): string {
  counter += 1;
  return `${processPart}-${counter.toString(36).padStart(5, '0')}`;
}
