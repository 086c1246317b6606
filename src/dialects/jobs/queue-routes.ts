// `GET /v1/queue`.
import type { FastifyInstance } from 'fastify';
import type { ClientRegistry } from '../../clients/client-registry.ts';
import type { WorkQueue } from '../../dispatch/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import { identifyClient } from '../identify-client.ts';
import { queueView } from './queue-view.ts';

export interface QueueRouteOptions {
  clients: ClientRegistry;
  queue: WorkQueue;
  clock: Clock;
}

export function registerQueueRoutes(app: FastifyInstance, { clients, queue, clock }: QueueRouteOptions): void {
  app.get('/v1/queue', (request) => {
    return queueView(queue, identifyClient(request, clients).id, clock);
  });
}
