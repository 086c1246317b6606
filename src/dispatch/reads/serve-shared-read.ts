// The way of a read whose answer is the same for everybody: from the store, or by one call for all who wait.
import { createHash } from 'node:crypto';
import type { RelayedRequest } from '../generation-request.ts';
import { ownHeaders, type Passage } from '../passage.ts';
import type { ReplyHeaders } from '../reply-sink.ts';
import { settle } from '../settle.ts';
import { read, type ReadDeps } from './serve-read.ts';
import type { SharedAnswers } from './shared-answers.ts';
import { WholeAnswerSink, type WholeAnswer } from './whole-answer-sink.ts';

export interface SharedReadDeps extends ReadDeps {
  sharedAnswers: SharedAnswers;
}

/** What of a request shapes its answer, beside path and body. */
const SHAPING_HEADERS = ['accept', 'accept-encoding', 'accept-language', 'content-type'] as const;

/** Serves one shared read to its end. Never throws. */
export async function serveSharedRead(request: RelayedRequest, deps: SharedReadDeps): Promise<void> {
  const { answer, record, origin } = await deps.sharedAnswers.get(await keyOf(request), async () => {
    const sink = new WholeAnswerSink();
    const { record } = await read({ ...request, sink }, deps);
    return { answer: await sink.answer, record };
  });
  const { outcome, status, errorCode } = record;
  const passage: Passage<RelayedRequest> = {
    request,
    deps,
    record:
      origin === 'fetched'
        ? { ...record, isDelivered: false }
        : { outcome, status, errorCode, sends: 0, sizeBytes: 0, isDelivered: false, cache: origin },
  };
  replay(passage, answer);
  settle(passage);
}

async function keyOf({ method, path, headers, body }: RelayedRequest): Promise<string> {
  const shape = [method, path, ...SHAPING_HEADERS.map((name) => headers[name] ?? '')];
  const hash = createHash('sha256').update(JSON.stringify(shape));
  await body?.look((bytes) => hash.update(bytes));
  return hash.digest('base64');
}

function replay(passage: Passage<RelayedRequest>, answer: WholeAnswer): void {
  const {
    request: { sink },
    record,
  } = passage;
  if (!sink.isOpen) return;
  if (answer.kind === 'refused') {
    sink.refuse(answer.error, ownHeaders(passage));
    return;
  }
  const { status, headers, body } = answer;
  sink.head(status, { ...novelaiHeaders(headers), ...ownHeaders(passage), 'content-length': String(body.length) });
  sink.write(body);
  sink.end(() => undefined);
  record.sizeBytes = body.length;
  record.isDelivered = true;
}

/** The service's own headers on the kept answer were for the client it was fetched for. */
function novelaiHeaders(headers: ReplyHeaders): ReplyHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('x-')));
}
