// Looks whether NovelAI's hosts can be reached and still are what they were, and whether this machine's clock is right.
import type { IncomingHttpHeaders } from 'node:http';
import type { HostRole } from '../config/config.ts';
import { readErrorBody, recogniseError } from '../novelai/error-form.ts';
import { USER_AGENT } from '../upstream/account-api.ts';
import { collect } from '../upstream/collect.ts';
import { Connections } from '../upstream/connections.ts';
import type { FailureKind } from '../upstream/exchange-failure.ts';
import type { Finding } from './check-account.ts';
import type { CommandContext } from './command-context.ts';

/** What is asked without a login: something that answers 401 where all is well (contract 2.5). */
const PROBES: Readonly<Record<HostRole, string>> = {
  image: '/user/subscription',
  text: '/oa/v1/models',
  api: '/user/subscription',
};
const PROBE_MS = 15_000;
/** A token of a login is renewed ahead by half a minute or more (design section 13); a clock off by less does no harm. */
const CLOCK_OFF_WARN_MS = 20_000;
const CLOCK_OFF_FAULT_MS = 300_000;

const FAILURE_ADVICE: Readonly<Record<FailureKind, string>> = {
  dns: 'Its name has no address here: look at the spelling, and at the DNS of this machine.',
  refused: 'Nothing answers there: look at the address and at the network of this machine.',
  tls: 'No trusted connection could be made: look at the clock, at the certificates of this machine, and for a proxy in between.',
  connect_timeout: 'The connection takes too long: look for a firewall, or raise CONNECT_TIMEOUT.',
  first_byte_timeout: 'It took the request and did not answer: try again in some minutes.',
  idle_timeout: 'It stopped in the middle of its answer: try again in some minutes.',
  total_timeout: 'It did not answer in time: try again in some minutes.',
  reset: 'The connection broke: look for a firewall or a proxy in between.',
  body_lost: 'The request could not be read on this side.',
  aborted: 'The answer was cut off.',
};

interface Probe {
  finding: Finding;
  /** How far this machine's clock is ahead of the host's. */
  clockAheadMs?: number | undefined;
}

/** Asks every configured host, all at once; costs nothing and needs no account. */
export async function checkHosts(context: CommandContext): Promise<Finding[]> {
  const connections = new Connections({ connectMs: context.config.limits.connectMs });
  try {
    const targets = Object.entries(context.config.upstreamUrls).flatMap(([role, urls]) =>
      urls.map((baseUrl) => ({ role: role as HostRole, baseUrl })),
    );
    const probes = await Promise.all(targets.map((target) => probe(context, connections, target)));
    return [...probes.map(({ finding }) => finding), ...clockFinding(probes)];
  } finally {
    await connections.close();
  }
}

async function probe(
  { clock }: CommandContext,
  connections: Connections,
  { role, baseUrl }: { role: HostRole; baseUrl: string },
): Promise<Probe> {
  const what = `${role} host ${baseUrl}`;
  const answer = await collect(
    {
      dispatcher: connections.for(undefined),
      baseUrl,
      path: PROBES[role],
      method: 'GET',
      headers: { 'user-agent': USER_AGENT, accept: 'application/json' },
      body: null,
      limits: { firstByteMs: PROBE_MS, idleMs: PROBE_MS, totalMs: PROBE_MS },
    },
    clock,
  );
  if (!answer.isAnswer) {
    const { kind, code } = answer.failure;
    return { finding: { level: 'fault', what, detail: `no answer (${code})`, advice: FAILURE_ADVICE[kind] } };
  }
  const { status, headers, body } = answer;
  const message = readErrorBody(body)?.message ?? '';
  return {
    finding: { what, ...judge(role, status, headers, message) },
    clockAheadMs: aheadMs(headers, clock.wallMs()),
  };
}

function judge(role: HostRole, status: number, headers: IncomingHttpHeaders, message: string): Omit<Finding, 'what'> {
  if (recogniseError(message) === 'moved-host')
    return role === 'api'
      ? { level: 'ok', detail: 'answers; NovelAI serves account calls on the image host now, and so does this service' }
      : {
          level: 'fault',
          detail: `moved: ${message}`,
          advice: `NovelAI has moved this: update the service, or set NOVELAI_${role.toUpperCase()}_URL to the new address.`,
        };
  if (String(headers['content-type']).includes('html') && (status === 403 || status === 429))
    return {
      level: 'fault',
      detail: `answers with a web page (${status})`,
      advice: "NovelAI's edge blocks this address: wait, or send the accounts through another one (proxy).",
    };
  if (status >= 500)
    return {
      level: 'warn',
      detail: `in trouble (${status})`,
      advice: 'NovelAI has a fault: try again in some minutes.',
    };
  if (status === 404)
    return {
      level: 'warn',
      detail: 'does not know what every such host of NovelAI knew (404)',
      advice: `Look whether NOVELAI_${role.toUpperCase()}_URL is one of NovelAI's hosts.`,
    };
  return { level: 'ok', detail: 'answers' };
}

function aheadMs({ date }: IncomingHttpHeaders, nowMs: number): number | undefined {
  const theirsMs = Date.parse(date ?? '');
  return Number.isNaN(theirsMs) ? undefined : nowMs - theirsMs;
}

/** One host's clock may be wrong as well; the middle one of all is believed. */
function clockFinding(probes: readonly Probe[]): Finding[] {
  const known = probes.flatMap(({ clockAheadMs }) => (clockAheadMs === undefined ? [] : [clockAheadMs]));
  const middleMs = known.toSorted((a, b) => a - b)[Math.floor(known.length / 2)];
  if (middleMs === undefined) return [];
  const offMs = Math.abs(middleMs);
  const what = 'clock';
  const detail = `${Math.round(offMs / 1000)} s ${middleMs > 0 ? 'ahead of' : 'behind'} NovelAI's`;
  if (offMs < CLOCK_OFF_WARN_MS) return [{ level: 'ok', what, detail: 'right' }];
  return [
    {
      level: offMs < CLOCK_OFF_FAULT_MS ? 'warn' : 'fault',
      what,
      detail,
      advice: 'Set it by NTP (timedatectl set-ntp true): logins and daily budgets go by it.',
    },
  ];
}
