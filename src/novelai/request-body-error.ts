// The one error for a request body that cannot be understood.

/** What is wrong with a body; `message` is a sentence for a NovelAI-form 400 and never quotes prompts or pictures. */
export class RequestBodyError extends Error {
  override readonly name = 'RequestBodyError';
  /** The member or part at fault, such as `parameters.width`; `body` for the whole. */
  readonly field: string;
  readonly expected: string;
  readonly given: string;

  /** `message` replaces the usual sentence where NovelAI has one of its own. */
  constructor({
    field,
    expected,
    given,
    message,
  }: {
    field: string;
    expected: string;
    given: string;
    message?: string;
  }) {
    super(message ?? `Validation error: expected ${field} to be ${expected}, got ${given}`);
    this.field = field;
    this.expected = expected;
    this.given = given;
  }
}
