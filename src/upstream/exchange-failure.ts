// Why an exchange with NovelAI broke, in the few kinds that lead to different actions.

export type FailureKind =
  | 'refused' // nothing listens, or the network does not lead there
  | 'dns' // the host's name has no address
  | 'tls' // no trusted connection could be made
  | 'connect_timeout'
  | 'first_byte_timeout'
  | 'idle_timeout'
  | 'total_timeout'
  | 'reset' // the connection broke, or the answer was no HTTP
  | 'body_lost' // the rest of the body could not be read on this side: NovelAI never had the whole request
  | 'aborted'; // ended from this side

export interface ExchangeFailure {
  kind: FailureKind;
  /** Whether the request may have reached NovelAI. False is proof that nothing was charged (I2). */
  wasSent: boolean;
  /** Whether the answer's head had arrived. */
  hasHead: boolean;
  /** The underlying error's code, such as ECONNREFUSED, for the log. */
  code: string;
}

/** The reason this side gives when it ends an exchange. */
export class ExchangeAborted extends Error {
  readonly kind: Extract<
    FailureKind,
    'connect_timeout' | 'first_byte_timeout' | 'idle_timeout' | 'total_timeout' | 'aborted'
  >;
  constructor(kind: ExchangeAborted['kind']) {
    super(`exchange ended from this side: ${kind}`);
    this.name = 'ExchangeAborted';
    this.kind = kind;
  }
}

/** The rest of a request's body cannot be read any more. */
export class BodyLost extends Error {
  constructor(cause: unknown) {
    super('the rest of the request body cannot be read', { cause });
    this.name = 'BodyLost';
  }
}

const KIND_BY_CODE: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'refused',
  ENETUNREACH: 'refused',
  EADDRNOTAVAIL: 'refused',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
  ETIMEDOUT: 'connect_timeout',
};
const TLS_CODE = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|EPROTO)/;

/** Gives the kind of a failure; what is not recognised is a `reset`, the most careful reading once something was sent. */
export function classifyFailure(
  error: unknown,
  { wasSent, hasHead }: { wasSent: boolean; hasHead: boolean },
): ExchangeFailure {
  if (error instanceof ExchangeAborted) return { kind: error.kind, wasSent, hasHead, code: error.kind };
  // NovelAI begins nothing before it has the whole request.
  if (error instanceof BodyLost) return { kind: 'body_lost', wasSent: false, hasHead, code: errorCode(error.cause) };
  const code = errorCode(error);
  const kind = KIND_BY_CODE[code] ?? (TLS_CODE.test(code) ? 'tls' : wasSent ? 'reset' : 'refused');
  return { kind: wasSent && kind !== 'reset' ? 'reset' : kind, wasSent, hasHead, code };
}

function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  // Node tries several addresses of one host and reports all failures in one AggregateError.
  if (error instanceof AggregateError && error.errors.length > 0) return errorCode(error.errors[0]);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
