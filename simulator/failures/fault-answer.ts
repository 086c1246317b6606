// The answer of a `status` fault: NovelAI's error form, the edge's HTML, or nothing.
import { ERROR_CONTENT_TYPE, errorBody, NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import type { Answer } from '../exchange.ts';
import type { FaultRule } from '../faults.ts';
import { htmlPage } from './html-page.ts';

const SENTENCES: Readonly<Record<number, string>> = {
  400: 'Validation error: simulated fault',
  401: NOVELAI_MESSAGES.unauthorized,
  402: NOVELAI_MESSAGES.notEnoughAnlas,
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  429: NOVELAI_MESSAGES.concurrentGenerationLocked,
  500: NOVELAI_MESSAGES.internalServerError,
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/** Gives the answer of a `status` fault. */
export function faultAnswer(fault: FaultRule): Answer {
  const status = fault.status ?? 500;
  const extra = Object.entries(fault.headers ?? {});
  if (fault.body === 'empty') return { status, headers: extra, pieces: [Buffer.alloc(0)], framing: 'length' };
  if (fault.body === 'html') {
    const page = htmlPage(status);
    return { ...page, headers: [...page.headers, ...extra] };
  }
  const pieces = [errorBody(status, fault.message ?? SENTENCES[status] ?? 'Simulated fault')];
  return { status, headers: [['content-type', ERROR_CONTENT_TYPE], ...extra], pieces, framing: 'length' };
}
