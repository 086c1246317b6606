// Account reads are answered for the client, never by NovelAI: they would show the owner's account (contract 3.9).
import type { ServerResponse } from 'node:http';
import { informationOf, priorityOf, subscriptionOf, userDataOf, type ShownAccount } from './account-shapes.ts';
import type { ClientArrival } from './arrival.ts';
import { sendJson } from './native-sink.ts';

const SHAPES: Readonly<Record<string, (account: ShownAccount) => unknown>> = {
  'user-subscription': subscriptionOf,
  'user-data': userDataOf,
  'user-information': informationOf,
  'user-priority': priorityOf,
};

/** Answers one of `/user/subscription`, `data`, `information` and `priority`. */
export function answerMadeUp({ endpoint, response, id }: ClientArrival, account: ShownAccount): ServerResponse {
  const shape = SHAPES[endpoint.id];
  if (!shape) throw new Error(`nothing is made up for ${endpoint.id}`);
  return sendJson(response, 200, shape(account), { 'x-request-id': id });
}
