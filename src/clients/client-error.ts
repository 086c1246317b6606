// What can be wrong with a change of clients that an operator asks for; the message is one sentence for that person.

export type ClientErrorCode = 'not_found' | 'name_taken' | 'revoked' | 'invalid';

export class ClientError extends Error {
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string) {
    super(message);
    this.name = 'ClientError';
    this.code = code;
  }
}
