// Sends traces to an OpenTelemetry collector, where one is named. Loads nothing otherwise.
import type { Log } from './log.ts';
import { watchSpans } from './spans.ts';

export interface TracingOptions {
  /** Whether the environment asks for traces. */
  isOn: boolean;
  /** Whether NovelAI gets a `traceparent` header. */
  propagates: boolean;
  /** OTEL_* variables, also those of `.env`, which OpenTelemetry itself does not read. */
  environment: Readonly<Record<string, string>>;
}

const SERVICE_NAME = 'novelai-proxy';
/** The detectors of the default that tell of the process would send its command line and its user's name. */
const RESOURCE_DETECTORS = 'env,host,serviceinstance';

/** Begins to send traces; gives a function that sends what is left and stops. Never throws: the service works without. */
export async function startTracing(options: TracingOptions, log: Log): Promise<() => Promise<void>> {
  if (!options.isOn) return () => Promise.resolve();
  try {
    return await load(options, log);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    if (isMissing)
      log.warn(
        'no traces: OpenTelemetry is not installed; run `npm install @opentelemetry/api @opentelemetry/sdk-node`',
      );
    else log.warn({ err: error }, 'no traces: OpenTelemetry could not be started');
    return () => Promise.resolve();
  }
}

async function load({ propagates, environment }: TracingOptions, log: Log): Promise<() => Promise<void>> {
  const [api, { NodeSDK }] = await Promise.all([import('@opentelemetry/api'), import('@opentelemetry/sdk-node')]);
  // OpenTelemetry reads its many variables itself, from the process's environment and from nowhere else.
  const takeBack = setMissing({
    OTEL_NODE_RESOURCE_DETECTORS: RESOURCE_DETECTORS,
    OTEL_SERVICE_NAME: SERVICE_NAME,
    ...environment,
  });
  const sdk = new NodeSDK({ metricReaders: [], logRecordProcessors: [], instrumentations: [] });
  sdk.start();
  const stopSpans = watchSpans({ api, tracer: api.trace.getTracer(SERVICE_NAME), propagates });
  log.info('traces go to OpenTelemetry');
  return async () => {
    stopSpans();
    try {
      await sdk.shutdown();
    } catch (err) {
      log.warn({ err }, 'the last traces could not be sent');
    }
    // The next service in this process (a test's) has its own.
    takeBack();
    for (const part of [api.trace, api.context, api.propagation]) part.disable();
  };
}

/** Sets those variables of the process that it has not; gives a function that takes them back. */
function setMissing(variables: Readonly<Record<string, string>>): () => void {
  const { env } = process;
  const names = Object.keys(variables).filter((name) => env[name] === undefined);
  for (const name of names) env[name] = variables[name];
  return () => {
    for (const name of names) delete env[name];
  };
}
