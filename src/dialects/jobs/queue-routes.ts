// `GET /v1/queue`.
import type { FastifyInstance } from 'fastify';
import type { ClientRegistry } from '../../clients/client-registry.ts';
import type { WorkQueue } from '../../dispatch/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import { identifyClient } from '../identify-client.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { QueueViews } from './queue-view.ts';

export interface QueueRouteOptions {
  clients: ClientRegistry;
  queue: WorkQueue;
  clock: Clock;
}

export function registerQueueRoutes(app: FastifyInstance, { clients, queue, clock }: QueueRouteOptions): void {
  const views = new QueueViews(queue, clock);
  app.get('/v1/queue', (request) => {
    const { id } = identifyClient(request, clients);
    return views.of(id, readLimit(request.query));
  });
}

const USUAL_LIMIT = 100;
const LARGEST_LIMIT = 1000;

/** @throws {ProxyError} client_invalid_field. */
function readLimit(query: unknown): number {
  const given = (query as { limit?: string | string[] }).limit;
  if (given === undefined) return USUAL_LIMIT;
  const limit = typeof given === 'string' && /^\d{1,4}$/.test(given) ? Number(given) : 0;
  if (limit >= 1 && limit <= LARGEST_LIMIT) return limit;
  throw new ProxyError('client_invalid_field', {
    message: `limit: expected a whole number from 1 to ${LARGEST_LIMIT}, got "${String(given).slice(0, 100)}"`,
  });
}
