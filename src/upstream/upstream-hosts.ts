// The base URLs of one host role: balances over them, keeps failing ones out of use, and brings them back by one probe.
import type { Clock } from '../lib/clock.ts';
import { OutlierGuard } from './outlier-guard.ts';

export interface UpstreamHost {
  readonly baseUrl: string;
  /** Whether this request decides over an ejected host. */
  readonly isProbe: boolean;
}

interface HostState {
  readonly baseUrl: string;
  guard: OutlierGuard;
  inFlight: number;
  /** Not tried before this time after a failed connection; monotonic milliseconds. */
  unreachableUntilMs: number;
  lastUsedSeq: number;
}

/** A host that could not be connected to is left alone this long while another one answers. */
const UNREACHABLE_PAUSE_MS = 5000;

export type HostVerdict = 'success' | 'failure' | 'unreachable' | 'none';

/** Chooses the host for each request, and learns from how it went. */
export class UpstreamHosts {
  readonly #hosts: HostState[];
  readonly #clock: Clock;
  #seq = 0;

  constructor(baseUrls: readonly string[], clock: Clock) {
    this.#hosts = [...new Set(baseUrls)].map((baseUrl) => ({
      baseUrl,
      guard: new OutlierGuard(),
      inFlight: 0,
      unreachableUntilMs: 0,
      lastUsedSeq: 0,
    }));
    this.#clock = clock;
  }

  get size(): number {
    return this.#hosts.length;
  }

  /**
   * Takes the host with the least requests out, the longest unused among equals, leaving aside ejected and unreachable ones and
   * those in `excluded`. When nothing else is left, any host is better than none. Give it back with `release`.
   */
  take(excluded: ReadonlySet<string> = new Set()): UpstreamHost {
    const nowMs = this.#clock.monotonicMs();
    const isUsable = (host: HostState) => host.guard.state(nowMs) === 'in' && nowMs >= host.unreachableUntilMs;
    // No more requests at once than may still fail before ejection: a host that turns bad cannot take more with it.
    const hasMargin = (host: HostState) => host.inFlight < Math.max(host.guard.failuresLeft, 1);
    const fresh = this.#hosts.filter((host) => !excluded.has(host.baseUrl));
    const usable = fresh.filter(isUsable);
    // With more out than all margins hold, the rest goes where nothing has failed lately.
    const leastFailures = Math.min(...usable.map(({ guard }) => guard.failures));
    const calm = usable.filter(({ guard }) => guard.failures === leastFailures);
    const candidates = [usable.filter(hasMargin), calm, fresh, this.#hosts].find((list) => list.length > 0) ?? [];
    const chosen = candidates.reduce((best, host) =>
      host.inFlight < best.inFlight || (host.inFlight === best.inFlight && host.lastUsedSeq < best.lastUsedSeq)
        ? host
        : best,
    );
    chosen.inFlight += 1;
    this.#seq += 1;
    chosen.lastUsedSeq = this.#seq;
    return { baseUrl: chosen.baseUrl, isProbe: chosen.guard.onSend() };
  }

  /** Gives a host back with what the request told about it. `none`: nothing (a client's own fault, an abort). */
  release({ baseUrl, isProbe }: UpstreamHost, verdict: HostVerdict): void {
    const state = this.#hosts.find((host) => host.baseUrl === baseUrl);
    if (!state) return;
    state.inFlight -= 1;
    const nowMs = this.#clock.monotonicMs();
    if (verdict === 'success') {
      state.unreachableUntilMs = 0;
      state.guard.onSuccess();
    } else if (verdict === 'failure') {
      // The last one in use is never thrown out.
      const mayEject = this.#hosts.some((other) => other !== state && other.guard.outUntilMs === undefined);
      state.guard.onFailure(nowMs, { mayEject, isProbe });
    } else {
      if (verdict === 'unreachable') state.unreachableUntilMs = nowMs + UNREACHABLE_PAUSE_MS;
      state.guard.onNoVerdict({ isProbe });
    }
  }

  /** Each host and whether it is in use, for health reports. */
  report(): { baseUrl: string; isInUse: boolean; failures: number }[] {
    const nowMs = this.#clock.monotonicMs();
    return this.#hosts.map(({ baseUrl, guard, unreachableUntilMs }) => ({
      baseUrl,
      isInUse: guard.state(nowMs) === 'in' && nowMs >= unreachableUntilMs,
      failures: guard.failures,
    }));
  }
}
