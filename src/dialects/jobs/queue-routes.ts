// `GET /v1/queue`.
import type { FastifyInstance } from 'fastify';
import type { ClientRegistry } from '../../clients/client-registry.ts';
import { readAuthorization } from '../../clients/read-authorization.ts';
import type { WorkQueue } from '../../dispatch/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { queueView } from './queue-view.ts';

export interface QueueRouteOptions {
  clients: ClientRegistry;
  queue: WorkQueue;
  clock: Clock;
}

export function registerQueueRoutes(app: FastifyInstance, { clients, queue, clock }: QueueRouteOptions): void {
  app.get('/v1/queue', (request) => {
    const token = readAuthorization(request.headers.authorization);
    const client = token === undefined ? undefined : clients.find(token);
    if (!client) throw new ProxyError('client_unauthorized');
    return queueView(queue, client.id, clock);
  });
}
