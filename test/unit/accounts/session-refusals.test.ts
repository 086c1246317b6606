// Tests of tokens that NovelAI refuses although they are new, and of accounts that are only a token.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { sessionToken } from '../../support/session-token.ts';
import { readySession, setUpSession } from '../../support/session-under-test.ts';

const [SECOND, HOUR, DAY] = [1000, 3_600_000, 86_400_000];

test('second refusal, asks NovelAI: a token that works means that the request was meant', async () => {
  const all = await readySession(DAY);
  const meant = all.session.onRefusedAgain(all.token);
  await settle();
  assert.equal(all.session.state, 'refreshing');
  assert.equal(all.checks[0]?.token, all.token);
  await all.checks[0].answer('works');
  assert.equal(await meant, true);
  assert.equal(all.session.token(), all.token);
  assert.equal(all.loginsStarted, 1);
});

test('second refusal, of a token that does not work disables until a login brings another', async () => {
  const all = await readySession(DAY);
  const meant = all.session.onRefusedAgain(all.token);
  await settle();
  await all.checks[0]!.answer('refused');
  assert.equal(await meant, false);
  assert.equal(all.session.state, 'refused');
  await all.clock.advance(SECOND);
  await all.grant(DAY);
  assert.equal(all.session.state, 'ready');
});

test('second refusal, of a token that has been replaced asks nobody', async () => {
  const all = await readySession(DAY);
  assert.equal(await all.session.onRefusedAgain('some older one'), false);
  assert.equal(all.checks.length, 0);
});

test('second refusal, what NovelAI says of a token that a login has replaced meanwhile changes nothing', async () => {
  for (const answer of ['refused', 'unknown', 'works'] as const) {
    const all = await readySession(10 * HOUR);
    await all.clock.advance(9 * HOUR);
    const meant = all.session.onRefusedAgain(all.token);
    await settle();
    const fresh = await all.grant(10 * HOUR);
    await all.checks[0]!.answer(answer);
    assert.equal(await meant, false);
    assert.equal(all.session.state, 'ready', answer);
    assert.equal(all.session.token(), fresh);
    await all.clock.advance(HOUR);
    assert.equal(all.logins.length, 0, 'no login is due');
  }
});

test('second refusal, a check that throws leads to a login and not to a hang', async () => {
  const all = await readySession(DAY);
  const meant = all.session.onRefusedAgain(all.token);
  await settle();
  await all.checks[0]!.breakOff();
  assert.equal(await meant, false);
  await all.clock.advance(SECOND);
  await all.grant(DAY);
  assert.equal(all.session.state, 'ready');
});

test('second refusal, a token found good after a failed check is read ahead as before, and no needless login follows', async () => {
  for (const lifeMs of [10 * HOUR, undefined]) {
    const all = await readySession(lifeMs);
    const first = all.session.onRefusedAgain(all.token);
    await settle();
    await all.checks[0]!.answer('unknown');
    await first;
    assert.equal(all.session.state, 'failing');
    const second = all.session.onRefusedAgain(all.token);
    await settle();
    await all.checks[0]!.answer('works');
    assert.equal(await second, true);
    await all.clock.advance(HOUR);
    assert.equal(all.loginsStarted, 1);
    await all.clock.advance(8 * HOUR);
    assert.equal(all.logins.length, lifeMs === undefined ? 0 : 1);
    all.session.close();
  }
});

test('token alone, a refusal is checked once for all and then retried until NovelAI takes it again', async () => {
  const all = setUpSession({ token: 'pst-made-up', hasLogin: false });
  const waiting = [all.session.onRefused('pst-made-up'), all.session.onRefused('pst-made-up')];
  await settle();
  assert.equal(all.checks.length, 1);
  await all.checks[0]!.answer('refused');
  await Promise.all(waiting);
  assert.equal(all.session.state, 'refused');
  await all.clock.advance(SECOND);
  await all.checks[0]!.answer('unknown');
  assert.equal(all.session.state, 'failing');
  await all.clock.advance(2 * SECOND);
  await all.checks[0]!.answer('works');
  assert.equal(all.session.state, 'ready');
  assert.equal(all.session.token(), 'pst-made-up');
  assert.equal(all.clock.timersLeft, 0);
});

test('token alone, one that has ended by the clock is still tried, since nothing could replace it', async () => {
  const clock = new FakeClock();
  const token = sessionToken(clock.wallMs() + HOUR);
  const all = setUpSession({ token, hasLogin: false });
  await all.clock.advance(2 * HOUR);
  assert.equal(all.session.token(), token);
});

test('no token and no login, is refused and never an endless flight', async () => {
  const all = setUpSession({ hasLogin: false });
  all.session.start();
  await settle();
  assert.equal(all.session.state, 'refused');
});
