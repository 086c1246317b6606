// An OpenTelemetry collector for tests: takes traces over HTTP as JSON and keeps them.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface CollectedSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  /** 1 internal, 2 server, 3 client. */
  kind: number;
  /** Nanoseconds. */
  start: bigint;
  end: bigint;
  attributes: Record<string, string | number | boolean>;
  isError: boolean;
}

export interface TraceCollector {
  url: string;
  readonly spans: readonly CollectedSpan[];
  /** Everything that came in, as it came. */
  readonly text: string;
}

interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: number | string; boolValue?: boolean } }[];
  status?: { code?: number };
}

interface OtlpTraces {
  resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[];
}

export async function startTraceCollector(context: TestContext): Promise<TraceCollector> {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      bodies.push(Buffer.concat(chunks).toString('utf8'));
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get text() {
      return bodies.join('\n');
    },
    get spans() {
      return bodies
        .flatMap((body) => (JSON.parse(body) as OtlpTraces).resourceSpans)
        .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
        .map(readSpan);
    },
  };
}

function readSpan(span: OtlpSpan): CollectedSpan {
  const { name, traceId, spanId, parentSpanId, kind, attributes, status } = span;
  return {
    name,
    traceId,
    spanId,
    parentSpanId: parentSpanId === '' ? undefined : parentSpanId,
    kind,
    start: BigInt(span.startTimeUnixNano),
    end: BigInt(span.endTimeUnixNano),
    attributes: Object.fromEntries(
      attributes.map(({ key, value: { stringValue, intValue, boolValue } }) => [
        key,
        stringValue ?? boolValue ?? Number(intValue),
      ]),
    ),
    isError: status?.code === 2,
  };
}
