// The way of a paid request whose answer can be used again (encode-vibe): from the store when the very same was asked before.
import { createHash } from 'node:crypto';
import { ProxyError } from '../../lib/proxy-error.ts';
import { isMultipart, readParts } from '../../novelai/multipart-parts.ts';
import { refuse } from '../conclude.ts';
import type { GenerationRequest } from '../generation-request.ts';
import type { AnswerTap } from '../answer-tap.ts';
import { ownHeaders, type DispatchDeps, type Passage, type RequestRecord } from '../passage.ts';
import { serveGeneration } from '../serve-generation.ts';
import { settle } from '../settle.ts';
import { AnswerRecorder } from './answer-recorder.ts';
import type { KeptAnswer, KeptAnswers } from './kept-answers.ts';

/** What a client was spared. */
export interface Saving {
  requestId: string;
  clientName: string;
  endpointId: string;
  costAnlas: number;
}

export interface KeptDeps extends DispatchDeps {
  keptAnswers: KeptAnswers;
  /** Requests under way by their key: whoever asks for the same meanwhile waits for it rather than pay as well. */
  keptUnderWay: Map<string, Promise<void>>;
  /** Told of each answer that was not paid for again. */
  onSaving?: ((saving: Saving) => void) | undefined;
}

/** Serves one request to its end, with the kept answer where there is one. Never throws. */
export async function serveKept(request: GenerationRequest, deps: KeptDeps): Promise<RequestRecord> {
  const key = await keyOf(request);
  const { keptAnswers, keptUnderWay } = deps;
  let hasWaited = false;
  for (;;) {
    const kept = await keptAnswers.get(key);
    if (kept) {
      return answerKept(request, deps, kept, hasWaited ? 'shared' : 'hit');
    }
    const underWay = keptUnderWay.get(key);
    if (!underWay) break;
    hasWaited = true;
    await Promise.race([underWay, new Promise<void>((resolve) => request.sink.onGone(resolve))]);
    if (!request.sink.isOpen) {
      const passage = newPassage(request, deps);
      refuse(passage, new ProxyError('client_left'));
      settle(passage);
      return passage.record;
    }
  }
  return serveAndKeep(request, deps, key);
}

/** Those who wait are let go as soon as NovelAI's answer is whole: this client may read it slowly, or have left. */
async function serveAndKeep(request: GenerationRequest, deps: KeptDeps, key: string): Promise<RequestRecord> {
  const { keptAnswers, keptUnderWay } = deps;
  const { promise: underWay, resolve } = Promise.withResolvers<void>();
  const letGo = () => {
    if (keptUnderWay.get(key) === underWay) keptUnderWay.delete(key);
    resolve();
  };
  keptUnderWay.set(key, underWay);
  const tap = new AnswerRecorder((answer) => {
    void keptAnswers.put(key, answer);
    letGo();
  });
  const record = await serveGeneration({ ...request, tap: both(tap, request.tap) }, deps);
  letGo();
  return record;
}

/**
 * Equal for equal requests: the same path and body, byte for byte; of a form the parts, since every sender draws a new boundary.
 * The body has been read for its price by now, so a form is sound here.
 */
async function keyOf({ path, headers, body }: GenerationRequest): Promise<string> {
  const contentType = headers['content-type'];
  const hash = createHash('sha256').update(`${path}\n`);
  await body?.look((bytes) => {
    if (contentType !== undefined && isMultipart(contentType))
      for (const [name, content] of readParts(contentType, bytes))
        hash.update(JSON.stringify([name, content.length])).update(content);
    else hash.update(bytes);
  });
  return hash.digest('hex');
}

function answerKept(
  request: GenerationRequest,
  deps: KeptDeps,
  kept: KeptAnswer,
  cache: 'hit' | 'shared',
): RequestRecord {
  const passage = newPassage(request, deps);
  const { record } = passage;
  const costAnlas = deps.pool.cheapest(request.work) ?? request.work.costAnlas.plain;
  record.outcome = 'succeeded';
  record.status = 200;
  record.cache = cache;
  record.savedAnlas = costAnlas;
  record.sizeBytes = kept.body.length;
  record.isDelivered = request.sink.isOpen;
  if (request.sink.isOpen) {
    request.sink.head(200, { ...kept.headers, 'content-length': String(kept.body.length), ...ownHeaders(passage) });
    request.sink.write(kept.body);
    request.sink.end(() => undefined);
    deps.onSaving?.({
      requestId: request.id,
      clientName: request.client.name,
      endpointId: request.endpointId,
      costAnlas,
    });
  }
  settle(passage);
  return record;
}

/** Two onlookers as one. */
function both(first: AnswerTap, second: AnswerTap | undefined): AnswerTap {
  if (!second) return first;
  return {
    head(status, headers) {
      first.head(status, headers);
      second.head(status, headers);
    },
    data(chunk) {
      first.data(chunk);
      second.data(chunk);
    },
    end(isWhole) {
      first.end(isWhole);
      second.end(isWhole);
    },
  };
}

function newPassage(request: GenerationRequest, deps: KeptDeps): Passage {
  return { request, deps, record: { outcome: 'failed_gateway', sends: 0, sizeBytes: 0, isDelivered: false } };
}
