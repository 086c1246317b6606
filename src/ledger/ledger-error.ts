// A use of the ledger that its rules do not allow: a fault in the calling code, never in a request.

export class LedgerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LedgerError';
  }
}
