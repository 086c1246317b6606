// Finds out which client asks, for the service's own routes.
import type { FastifyRequest } from 'fastify';
import type { Client, ClientRegistry } from '../clients/client-registry.ts';
import { readAuthorization } from '../clients/read-authorization.ts';
import { ProxyError } from '../lib/proxy-error.ts';

/** @throws {ProxyError} client_unauthorized when there is no token, or none that is known. */
export function identifyClient({ headers }: FastifyRequest, clients: ClientRegistry): Client {
  const token = readAuthorization(headers.authorization);
  const client = token === undefined ? undefined : clients.find(token);
  if (!client) throw new ProxyError('client_unauthorized');
  return client;
}
