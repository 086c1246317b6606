// An error answer on its way: whatever a handler throws of this kind becomes NovelAI's error form.

/** Refuses a request with NovelAI's status and sentence (contract 5). */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly details: unknown;
  /** Bytes after the JSON; NovelAI was seen to append a ZIP (contract 3.2, "Trap"). */
  readonly trailing: Buffer | undefined;

  constructor(status: number, message: string, extra: { details?: unknown; trailing?: Buffer } = {}) {
    super(message);
    this.status = status;
    this.details = extra.details;
    this.trailing = extra.trailing;
  }
}
