// The closed table of everything this service itself can answer instead of a result, and the error that carries one row of it.

interface ErrorRow {
  /** HTTP status on native routes. */
  status: number;
  /** Whether the same request may succeed later without being changed. */
  isRetryable: boolean;
  /** What a person reads when no better sentence is at hand. */
  sentence: string;
}

/** Codes begin with the one at fault: `client_`, `policy_`, `upstream_` (NovelAI or the way to it) or `proxy_` (design section 6). */
const ERROR_TABLE = {
  client_unauthorized: { status: 401, isRetryable: false, sentence: 'Unauthorized' },
  client_body_too_large: { status: 413, isRetryable: false, sentence: 'The request body is too large.' },
  client_body_incomplete: {
    status: 400,
    isRetryable: false,
    sentence: 'The request body ended before it was complete.',
  },
  client_invalid_body: { status: 400, isRetryable: false, sentence: 'The request body could not be read.' },
  client_invalid_field: { status: 400, isRetryable: false, sentence: 'A field of the request is not as expected.' },
  client_unknown_path: { status: 404, isRetryable: false, sentence: 'Not Found' },
  client_method_not_allowed: { status: 405, isRetryable: false, sentence: 'Method Not Allowed' },
  client_left: { status: 499, isRetryable: true, sentence: 'The client closed the connection before the answer.' },
  client_queue_full: { status: 429, isRetryable: true, sentence: 'This client has too many requests waiting already.' },
  client_rate_limited: { status: 429, isRetryable: true, sentence: 'This client sends more requests than it may.' },
  client_key_conflict: {
    status: 422,
    isRetryable: false,
    sentence: 'This Idempotency-Key was used before for another request.',
  },
  client_answer_lost: {
    status: 409,
    isRetryable: false,
    sentence: 'A request with this Idempotency-Key was made before and may have been charged, but its answer is lost.',
  },
  policy_scope: { status: 403, isRetryable: false, sentence: 'This token may not do that.' },
  policy_budget: { status: 402, isRetryable: true, sentence: 'Not enough Anlas' },
  policy_free_only: { status: 402, isRetryable: false, sentence: 'Not enough Anlas' },
  policy_endpoint_refused: {
    status: 403,
    isRetryable: false,
    sentence: 'This endpoint is not offered through the proxy.',
  },
  policy_impossible: {
    status: 400,
    isRetryable: false,
    sentence: 'No configured NovelAI account could ever serve this request.',
  },
  upstream_no_account: {
    status: 503,
    isRetryable: true,
    sentence: 'No NovelAI account can serve requests at the moment.',
  },
  upstream_not_enough_anlas: { status: 402, isRetryable: false, sentence: 'Not enough Anlas' },
  upstream_unreachable: { status: 502, isRetryable: true, sentence: 'NovelAI could not be reached; nothing was sent.' },
  upstream_timeout: {
    status: 504,
    isRetryable: false,
    sentence: 'NovelAI did not answer in time; the request may have been carried out.',
  },
  upstream_broken: {
    status: 502,
    isRetryable: false,
    sentence: 'The connection to NovelAI broke; the request may have been carried out.',
  },
  upstream_unreadable: { status: 502, isRetryable: true, sentence: 'NovelAI gave an answer that could not be read.' },
  proxy_queue_full: { status: 503, isRetryable: true, sentence: 'The queue is full.' },
  proxy_queue_timeout: {
    status: 503,
    isRetryable: true,
    sentence: 'No account became free before the deadline of this request.',
  },
  proxy_ledger_unavailable: {
    status: 503,
    isRetryable: true,
    sentence: 'The request cannot be written down at the moment, and nothing is sent that is not.',
  },
  proxy_stopping: { status: 503, isRetryable: true, sentence: 'The service is shutting down.' },
  proxy_internal: { status: 500, isRetryable: true, sentence: 'Internal Server Error' },
} as const satisfies Record<string, ErrorRow>;

export type ProxyErrorCode = keyof typeof ERROR_TABLE;

/** Gives the whole table, for documentation. */
export function proxyErrors(): (ErrorRow & { code: ProxyErrorCode })[] {
  return Object.entries<ErrorRow>(ERROR_TABLE).map(([code, row]) =>
    Object.assign({ code: code as ProxyErrorCode }, row),
  );
}

export interface ProxyErrorDetail {
  /** A sentence for this one case: what could not be done, why, what was expected, what was given. */
  message?: string | undefined;
  /** Least time until a retry makes sense, in milliseconds; becomes `Retry-After`. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
  /** Methods that the path does accept; becomes `Allow`. */
  allow?: readonly string[] | undefined;
  /** What else the client may be told, as NovelAI's own errors do in their `details`. */
  details?: unknown;
}

/** One refusal or failure of the service's own making. Answers that come from NovelAI never become one: they pass through. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  readonly status: number;
  readonly isRetryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly allow: readonly string[] | undefined;
  readonly details: unknown;

  constructor(code: ProxyErrorCode, { message, retryAfterMs, cause, allow, details }: ProxyErrorDetail = {}) {
    const row: ErrorRow = ERROR_TABLE[code];
    super(message ?? row.sentence, cause === undefined ? undefined : { cause });
    this.name = 'ProxyError';
    this.code = code;
    this.status = row.status;
    this.isRetryable = row.isRetryable;
    this.retryAfterMs = retryAfterMs;
    this.allow = allow;
    this.details = details;
  }
}
