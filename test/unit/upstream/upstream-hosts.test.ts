// Tests of the choice of a host: balance, failover, bounded losses and the way back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { UpstreamHosts, type HostVerdict, type UpstreamHost } from '../../../src/upstream/upstream-hosts.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const [A, B, C] = ['http://a.example', 'http://b.example', 'http://c.example'] as const;

function setUp(...urls: string[]) {
  const clock = new FakeClock();
  return { clock, hosts: new UpstreamHosts(urls, clock) };
}

function once(hosts: UpstreamHosts, verdict: HostVerdict): string {
  const host = hosts.take();
  hosts.release(host, verdict);
  return host.baseUrl;
}

/** Ejects the host by failures; its neighbours succeed. */
function eject(hosts: UpstreamHosts, url: string): void {
  for (let n = 0; n < 40 && hosts.report().find(({ baseUrl }) => baseUrl === url)?.isInUse; n += 1) {
    const host = hosts.take();
    hosts.release(host, host.baseUrl === url ? 'failure' : 'success');
  }
}

test('hosts, requests one after another go round', () => {
  const { hosts } = setUp(A, B, C);
  const taken = Array.from({ length: 9 }, () => once(hosts, 'success'));
  assert.deepEqual(taken, [A, B, C, A, B, C, A, B, C]);
});

test('hosts, requests at once are spread by how many are out', () => {
  const { hosts } = setUp(A, B);
  const out: UpstreamHost[] = Array.from({ length: 8 }, () => hosts.take());
  assert.equal(out.filter(({ baseUrl }) => baseUrl === A).length, 4);
  for (const host of out.filter(({ baseUrl }) => baseUrl === B)) hosts.release(host, 'success');
  assert.deepEqual([hosts.take().baseUrl, hosts.take().baseUrl, hosts.take().baseUrl], [B, B, B]);
});

test('hosts, one given twice counts once and gives its place back', () => {
  const { hosts } = setUp(A, A, B);
  assert.equal(hosts.size, 2);
  const out = Array.from({ length: 6 }, () => hosts.take());
  assert.equal(out.filter(({ baseUrl }) => baseUrl === A).length, 3);
});

test('hosts, excluded ones are taken only when nothing else is left', () => {
  const { hosts } = setUp(A, B);
  for (let n = 0; n < 4; n += 1) assert.equal(hosts.take(new Set([A])).baseUrl, B);
  assert.ok([A, B].includes(hosts.take(new Set([A, B])).baseUrl as typeof A));
});

test('hosts, an unreachable one is left alone for 5 s while another answers, then tried again', async () => {
  const { hosts, clock } = setUp(A, B);
  assert.equal(once(hosts, 'unreachable'), A);
  for (let n = 0; n < 6; n += 1) assert.equal(once(hosts, 'success'), B);
  await clock.advance(4999);
  assert.equal(once(hosts, 'success'), B);
  await clock.advance(1);
  assert.equal(once(hosts, 'success'), A);
});

test('hosts, when all are unreachable one is tried all the same', () => {
  const { hosts } = setUp(A, B);
  for (let n = 0; n < 10; n += 1) assert.ok(once(hosts, 'unreachable'));
});

test('hosts, five failures in a row take one out for 30 s, and one probe brings it back', async () => {
  const { hosts, clock } = setUp(A, B);
  eject(hosts, A);
  for (let n = 0; n < 5; n += 1) assert.equal(once(hosts, 'success'), B);
  await clock.advance(30_000);
  const probe = hosts.take();
  assert.deepEqual(probe, { baseUrl: A, isProbe: true });
  for (let n = 0; n < 5; n += 1) assert.equal(once(hosts, 'success'), B, 'one probe only');
  hosts.release(probe, 'success');
  assert.deepEqual(new Set([once(hosts, 'success'), once(hosts, 'success')]), new Set([A, B]));
});

test('hosts, a failed probe keeps it out for longer', async () => {
  const { hosts, clock } = setUp(A, B);
  eject(hosts, A);
  once(hosts, 'success');
  await clock.advance(30_000);
  assert.equal(once(hosts, 'failure'), A);
  await clock.advance(59_999);
  assert.equal(once(hosts, 'success'), B);
  await clock.advance(1);
  assert.equal(once(hosts, 'success'), A);
});

test('hosts, an old request that ends during a probe is not taken for it', async () => {
  for (const verdict of ['none', 'failure'] as const) {
    const { hosts, clock } = setUp(A, B);
    const old = hosts.take();
    assert.equal(old.baseUrl, A);
    hosts.release(hosts.take(), 'success');
    for (let n = 0; n < 5; n += 1) hosts.release(hosts.take(new Set([B])), 'failure');
    await clock.advance(30_000);
    const probe = hosts.take(new Set([B]));
    assert.equal(probe.isProbe, true);
    hosts.release(old, verdict);
    assert.equal(hosts.report()[0]?.isInUse, false, 'still probing');
    hosts.release(probe, 'none');
    assert.equal(hosts.report()[0]?.isInUse, true, 'the next probe may go at once');
  }
});

test('hosts, the last one in use is never thrown out', () => {
  const { hosts } = setUp(A, B);
  eject(hosts, A);
  for (let n = 0; n < 50; n += 1) assert.equal(once(hosts, 'failure'), B);
  assert.equal(hosts.report().find(({ baseUrl }) => baseUrl === B)?.isInUse, true);
  const alone = setUp(A).hosts;
  for (let n = 0; n < 50; n += 1) once(alone, 'failure');
  assert.equal(alone.report()[0]?.isInUse, true);
});

test('hosts, one that turns bad takes at most five requests with it when no more were out before', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.nat(8), { minLength: 60, maxLength: 60 }),
      (width, order) => {
        const { hosts } = setUp(A, B);
        const out: UpstreamHost[] = [];
        let lost = 0;
        for (const pick of order) {
          while (out.length < width) out.push(hosts.take());
          const [host] = out.splice(pick % out.length, 1);
          if (!host) continue;
          if (host.baseUrl === A) lost += 1;
          hosts.release(host, host.baseUrl === A ? 'failure' : 'success');
        }
        assert.ok(lost > 0, 'the bad host was tried');
        lost += out.filter(({ baseUrl }) => baseUrl === A).length;
        assert.ok(lost <= 5, `${lost} lost at width ${width}`);
      },
    ),
  );
});

test('hosts, an end that tells nothing changes nothing', () => {
  const { hosts } = setUp(A, B);
  for (let n = 0; n < 20; n += 1) once(hosts, 'none');
  assert.ok(hosts.report().every(({ isInUse, failures }) => isInUse && failures === 0));
});

test('hosts, any mix of verdicts leaves the counts right: afterwards the balance is even', () => {
  const verdict = fc.constantFrom<HostVerdict>('success', 'failure', 'unreachable', 'none');
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5), verdict), { maxLength: 80 }), (steps) => {
      const { hosts } = setUp(A, B, C);
      const out: UpstreamHost[] = [];
      for (const [pick, how] of steps) {
        out.push(hosts.take());
        const [host] = out.splice(pick % out.length, 1);
        if (host) hosts.release(host, how);
      }
      for (const host of out) hosts.release(host, 'success');
      for (const url of [A, B, C]) {
        const others = new Set([A, B, C].filter((other) => other !== url));
        hosts.release(hosts.take(others), 'success');
      }
      const after = Array.from({ length: 9 }, () => hosts.take().baseUrl);
      for (const url of [A, B, C]) assert.equal(after.filter((taken) => taken === url).length, 3);
    }),
  );
});
