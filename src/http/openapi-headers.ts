// The headers that the service reads and adds, for the OpenAPI document.

/** On answers. */
export function answerHeaders() {
  return {
    'x-request-id': header('The request, as the log and the ledger know it.'),
    'x-queue-wait': header('How long it waited for an account, milliseconds.', { type: 'integer', minimum: 0 }),
    'x-account': header('The account that served it (its alias); only with SHOW_ACCOUNT=on.'),
    'x-proxy-error': header("The code of the service's own error; absent on NovelAI's."),
    'x-proxy-changed': header('What the free-only policy changed, such as `steps 50->28, width 1536->1024`.'),
    'x-proxy-cache': header('`hit`: from the store; `shared`: one call to NovelAI for several who asked.'),
    'x-proxy-replay': header(
      'An answer that was paid for before: `idempotency-key`, or `lost-connection` for the same request soon after one.',
    ),
    'x-anlas-saved': header('Anlas that were not paid again.', { type: 'integer', minimum: 0 }),
    'retry-after': header('When to come again, seconds.', { type: 'integer', minimum: 1 }),
  };
}

/** On requests. */
export function requestHeaders(bands: readonly string[]) {
  return {
    Priority: parameter('x-priority', 'A request may be less urgent than its program, never more.', {
      type: 'string',
      enum: bands,
    }),
    QueueTimeout: parameter('x-queue-timeout', 'How long it may wait for an account, such as `90s` or `5m`.'),
    Deadline: parameter('x-deadline', 'Until when it may wait: RFC 3339, or Unix seconds.'),
    IdempotencyKey: parameter(
      'Idempotency-Key',
      'The same request with the same key gets the same answer for a day and is charged at most once.',
    ),
  };
}

function header(description: string, schema: object = { type: 'string' }) {
  return { description, schema };
}

function parameter(name: string, description: string, schema: object = { type: 'string' }) {
  return { name, in: 'header', description, schema };
}
