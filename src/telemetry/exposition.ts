// Prometheus' text form. prom-client, which writes it, is loaded when it is first asked for: it takes 18 MB and 80 ms, which a
// service that nobody scrapes need not spend.
import type * as PromClient from 'prom-client';

type Client = Pick<typeof PromClient, 'Counter' | 'Gauge' | 'Histogram' | 'Registry' | 'collectDefaultMetrics'>;

/** Where metrics show themselves. */
export interface Exposition {
  client: Client;
  registry: PromClient.Registry;
}

/** Something that can be shown. */
export interface Exposed {
  expose(exposition: Exposition): void;
}

export interface MetricsText {
  contentType: string;
  text: string;
}

let processRegistry: PromClient.Registry | undefined;

/** Gives a reader of these metrics and of the process's own (CPU, memory, garbage collection), which loads prom-client first. */
export function metricsReader(metrics: Iterable<Exposed>): () => Promise<MetricsText> {
  let loading: Promise<Exposition> | undefined;
  return async () => {
    loading ??= load(metrics);
    const { client, registry } = await loading;
    const texts = [await registry.metrics(), await processMetrics(client).metrics()];
    return { contentType: registry.contentType, text: texts.join('\n') };
  };
}

async function load(metrics: Iterable<Exposed>): Promise<Exposition> {
  const { default: client } = await import('prom-client');
  const registry = new client.Registry();
  for (const metric of metrics) metric.expose({ client, registry });
  return { client, registry };
}

/** Made once for the process, however many services are in it: they watch it for as long as it lives. */
function processMetrics(client: Client): PromClient.Registry {
  if (processRegistry) return processRegistry;
  processRegistry = new client.Registry();
  client.collectDefaultMetrics({ register: processRegistry });
  // The service has its own, which begins with the service and not with the first scrape.
  for (const { name } of processRegistry.getMetricsAsArray())
    if (name.startsWith('nodejs_eventloop_lag')) processRegistry.removeSingleMetric(name);
  return processRegistry;
}
