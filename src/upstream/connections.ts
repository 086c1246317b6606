// Keep-alive connections to NovelAI, one pool per account proxy.
import { createRequire } from 'node:module';
import type * as Undici from 'undici';
import type { Dispatcher } from 'undici';

const require = createRequire(import.meta.url);
/**
 * One file of undici: its index brings fetch, WebSockets, caches and mocks along, 15 MB and 100 ms for what is not used here. The
 * package has no `exports` map, so its files may be asked for.
 */
const Agent = require('undici/lib/dispatcher/agent.js') as typeof Undici.Agent;
/** The whole of undici, without which its proxy agents do not work; loaded with the first proxy. */
const loadUndici = () => require('undici') as typeof Undici;

/** NovelAI's edge keeps idle connections longer; closing first on this side avoids writing into one that it is just closing. */
const KEEP_ALIVE_MS = 4000;

/** Hands out the undici dispatcher for a proxy (or none), and closes them all at the end. */
export class Connections {
  readonly #connectMs: number;
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor({ connectMs }: { connectMs: number }) {
    this.#connectMs = connectMs;
  }

  for(proxyUrl: string | undefined): Dispatcher {
    const key = proxyUrl ?? '';
    let dispatcher = this.#dispatchers.get(key);
    if (!dispatcher) {
      dispatcher = this.#open(proxyUrl);
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  #open(proxyUrl: string | undefined): Dispatcher {
    const pool = { keepAliveTimeout: KEEP_ALIVE_MS, pipelining: 1 };
    if (proxyUrl?.startsWith('socks')) {
      const { Socks5ProxyAgent } = loadUndici();
      return new Socks5ProxyAgent(proxyUrl, pool);
    }
    // What a proxy takes beyond this (its handshake, the way behind it) is bounded by the exchange's own limit.
    const connect = { timeout: this.#connectMs };
    if (proxyUrl === undefined) return new Agent({ ...pool, connect });
    const { ProxyAgent } = loadUndici();
    return new ProxyAgent({ uri: proxyUrl, ...pool, proxyTls: connect });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
    this.#dispatchers.clear();
  }
}
