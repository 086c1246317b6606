// Tests of one account's token: read ahead, renewed once for all, never more than one login in flight, whatever the clocks do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { settle } from '../../support/fake-clock.ts';
import { sessionToken } from '../../support/session-token.ts';
import { readySession, setUpSession } from '../../support/session-under-test.ts';

const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];

test('start, without a token logs in once and is ready with what it got', async () => {
  const all = setUpSession();
  assert.equal(all.session.state, 'refreshing');
  all.session.start();
  all.session.start();
  assert.equal(all.session.token(), undefined);
  const token = await all.grant(30 * DAY);
  assert.equal(all.loginsStarted, 1);
  assert.equal(all.session.token(), token);
  assert.equal(all.session.state, 'ready');
  assert.equal(all.session.logins, 1);
  assert.deepEqual(all.tokensSeen, [token]);
});

test('start, with a token uses it and does not log in', () => {
  const given = `pst-${'a'.repeat(64)}`;
  const all = setUpSession({ token: given });
  all.session.start();
  assert.equal(all.session.token(), given);
  assert.equal(all.loginsStarted, 0);
  assert.deepEqual(all.tokensSeen, [given]);
});

test('refusal, a hundred requests refused at once share one login', async () => {
  const all = await readySession(30 * DAY);
  let over = 0;
  const waiting = Array.from({ length: 100 }, () => all.session.onRefused(all.token).then(() => (over += 1)));
  await settle();
  assert.equal(all.session.state, 'refreshing');
  assert.equal(all.session.token(), undefined);
  assert.equal(over, 0);
  const fresh = await all.grant(30 * DAY);
  await Promise.all(waiting);
  assert.equal(all.loginsStarted, 2);
  assert.equal(all.session.token(), fresh);
});

test('refusal, of a token that has been replaced starts no login', async () => {
  const all = await readySession(30 * DAY);
  void all.session.onRefused(all.token);
  const fresh = await all.grant(30 * DAY);
  await all.session.onRefused(all.token);
  assert.equal(all.loginsStarted, 2);
  assert.equal(all.session.token(), fresh);
});

test('refusal, during a read-ahead login joins it', async () => {
  const all = await readySession(10 * HOUR);
  await all.clock.advance(9 * HOUR);
  assert.equal(all.logins.length, 1);
  assert.equal(all.session.token(), all.token, 'the old one serves meanwhile');
  const waiting = all.session.onRefused(all.token);
  await settle();
  assert.equal(all.session.state, 'refreshing');
  const fresh = await all.grant(10 * HOUR);
  await waiting;
  assert.equal(all.session.token(), fresh);
  assert.equal(all.mostAtOnce, 1);
});

test('read-ahead, begins a tenth of the life before the end, at most an hour and at least 30 s', async () => {
  const expected: [number, number][] = [
    [30 * DAY, HOUR],
    [20 * HOUR, HOUR],
    [10 * HOUR, HOUR],
    [2 * HOUR, 12 * MINUTE],
    [10 * MINUTE, MINUTE],
    [5 * MINUTE, 30 * SECOND],
    [2 * MINUTE, 30 * SECOND],
    [MINUTE, 30 * SECOND],
  ];
  for (const [lifeMs, aheadMs] of expected) {
    const all = await readySession(lifeMs);
    await all.clock.advance(lifeMs - aheadMs - SECOND);
    assert.equal(all.logins.length, 0, `${lifeMs}: too early`);
    await all.clock.advance(SECOND);
    assert.equal(all.logins.length, 1, `${lifeMs}: due`);
    assert.equal(all.session.state, 'ready');
    assert.equal(all.session.token(), all.token);
    all.session.close();
  }
});

test('read-ahead, a token of less than a minute is used until it is refused', async () => {
  const all = await readySession(59 * SECOND);
  await all.clock.advance(HOUR);
  assert.equal(all.loginsStarted, 1);
  assert.equal(all.session.token(), all.token);
  void all.session.onRefused(all.token);
  await settle();
  assert.equal(all.loginsStarted, 2);
});

test('read-ahead, a token that tells no expiry, or only a past one, is used until it is refused', async () => {
  for (const lifeMs of [undefined, -DAY]) {
    const all = await readySession(lifeMs);
    await all.clock.advance(90 * DAY);
    assert.equal(all.loginsStarted, 1);
    assert.equal(all.session.token(), all.token);
    assert.equal(all.clock.timersLeft, 0);
  }
});

test('read-ahead, months of month-long tokens cost one login each and never a moment without a token', async () => {
  const all = await readySession(30 * DAY);
  for (let month = 1; month <= 3; month += 1) {
    await all.clock.advance(30 * DAY - HOUR);
    assert.equal(all.logins.length, 1, `month ${month}`);
    assert.ok(all.session.token());
    await all.grant(30 * DAY);
  }
  assert.equal(all.loginsStarted, 4);
  assert.ok(all.clock.timersLeft <= 1);
});

test('read-ahead, one that fails keeps the old token in use and tries again with growing pauses', async () => {
  const all = await readySession(10 * HOUR);
  await all.clock.advance(9 * HOUR);
  for (const pauseMs of [1000, 2000, 4000]) {
    await all.logins[0]!.answer({ kind: 'failed', why: 'made up' });
    assert.equal(all.session.token(), all.token);
    await all.clock.advance(pauseMs - 1);
    assert.equal(all.logins.length, 0);
    await all.clock.advance(1);
    assert.equal(all.logins.length, 1);
  }
  await all.logins[0]!.answer({ kind: 'refused', why: 'made up' });
  assert.equal(all.session.state, 'ready', 'a password refused ahead of time takes nothing away');
  await all.clock.advance(8000);
  const fresh = await all.grant(10 * HOUR);
  assert.equal(all.session.token(), fresh);
});

test('expiry, a token known to have ended is not sent', async () => {
  const all = await readySession(10 * HOUR);
  await all.clock.advance(9 * HOUR);
  await all.clock.advance(HOUR - 1);
  assert.equal(all.session.token(), all.token);
  await all.clock.advance(1);
  assert.equal(all.session.token(), undefined);
  assert.equal(all.session.state, 'refreshing');
  assert.equal(all.logins.length, 1, 'the read-ahead login is joined');
  await all.logins[0]!.answer({ kind: 'failed', why: 'made up' });
  assert.equal(all.session.state, 'failing');
});

test('failing, the login is tried again after 1, 2, 4 ... 300 s and the reason is told', async () => {
  const all = setUpSession();
  all.session.start();
  for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
    await all.logins[0]!.answer({ kind: 'failed', why: `after ${seconds}` });
    assert.equal(all.session.state, 'failing');
    assert.equal(all.session.why, `after ${seconds}`);
    await all.clock.advance(seconds * SECOND - 1);
    assert.equal(all.logins.length, 0, `${seconds}: too early`);
    await all.clock.advance(1);
    assert.equal(all.logins.length, 1, `${seconds}: due`);
  }
  await all.grant(DAY);
  assert.equal(all.session.why, undefined);
  void all.session.onRefused(all.session.token()!);
  await settle();
  await all.logins[0]!.answer({ kind: 'failed', why: 'again' });
  await all.clock.advance(SECOND);
  assert.equal(all.logins.length, 1, 'a success ends the growth');
});

test('refused, a wrong password disables the account but is tried again, so that a mended one is found', async () => {
  const all = setUpSession();
  all.session.start();
  await all.logins[0]!.answer({ kind: 'refused', why: 'wrong' });
  assert.equal(all.session.state, 'refused');
  await all.clock.advance(SECOND);
  const token = await all.grant(DAY);
  assert.equal(all.session.state, 'ready');
  assert.equal(all.session.token(), token);
});

test('refusal, while the login is failing resolves at once instead of waiting out the pause', async () => {
  const all = await readySession(DAY);
  const first = all.session.onRefused(all.token);
  await settle();
  await all.logins[0]!.answer({ kind: 'failed', why: 'made up' });
  await first;
  await all.session.onRefused(all.token);
  assert.equal(all.logins.length, 0);
  assert.equal(all.session.state, 'failing');
});

test('refusal, of every token as soon as it is given leads to growing pauses and not to a flood of logins', async () => {
  const all = await readySession(DAY);
  await all.clock.advance(HOUR);
  const refuseNow = async () => {
    const waiting = all.session.onRefused(all.session.token()!);
    await settle();
    return waiting;
  };
  void refuseNow();
  await all.grant(DAY);
  void refuseNow();
  await settle();
  assert.equal(all.logins.length, 1, 'once may be an accident');
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    await all.grant(DAY);
    void refuseNow();
    await all.clock.advance(seconds * SECOND - 1);
    assert.equal(all.session.state, 'refreshing');
    assert.equal(all.logins.length, 0, `${seconds} s: too early`);
    await all.clock.advance(1);
    assert.equal(all.logins.length, 1, `${seconds} s: due`);
  }
  await all.grant(DAY);
  await all.clock.advance(SECOND);
  void refuseNow();
  await settle();
  assert.equal(all.logins.length, 1, 'one that was good for a while is renewed at once');
});

test('refusal, close ends the pause before a login and lets those who wait go', async () => {
  const all = await readySession(DAY);
  for (let round = 0; round < 2; round += 1) {
    const waiting = all.session.onRefused(all.session.token()!);
    await settle();
    if (round === 0) await all.grant(DAY);
    else all.session.close();
    await waiting;
  }
  assert.equal(all.clock.timersLeft, 0);
  assert.equal(all.loginsStarted, 2);
});

test('login, one that throws counts as failing: nobody waits for ever, and it is tried again', async () => {
  const all = await readySession(DAY);
  const waiting = all.session.onRefused(all.token);
  await settle();
  await all.logins[0]!.breakOff();
  await waiting;
  assert.equal(all.session.state, 'failing');
  await all.clock.advance(SECOND);
  assert.equal(all.logins.length, 1);
});

test('wall clock, an hour ahead renews early and once, an hour back late and once', async () => {
  for (const stepMs of [HOUR, -HOUR]) {
    const all = await readySession(2 * HOUR);
    await all.clock.advance(MINUTE);
    all.clock.stepWall(stepMs);
    // By the stepped clock the renewal is due in 47 minutes; the step is noticed within ten.
    await all.clock.advance(57 * MINUTE);
    assert.equal(all.logins.length, stepMs > 0 ? 1 : 0);
    await all.clock.advance(HOUR);
    assert.equal(all.logins.length, stepMs > 0 ? 1 : 0);
    if (stepMs > 0) {
      const fresh = await all.grant(2 * HOUR);
      assert.equal(all.session.token(), fresh);
    } else {
      assert.equal(all.session.token(), all.token);
      await all.clock.advance(HOUR);
      assert.equal(all.logins.length, 1);
    }
    assert.equal(all.mostAtOnce, 1);
    await all.clock.advance(10 * MINUTE);
    assert.ok(all.loginsStarted <= 2);
    all.session.close();
  }
});

test('wall clock, stepped while NovelAI keeps its own, a fresh token never leads straight to another login', async () => {
  for (const stepMs of [HOUR, -HOUR, 40 * MINUTE]) {
    const all = await readySession(2 * HOUR);
    const novelaiMs = () => all.clock.wallMs() - stepMs;
    all.clock.stepWall(stepMs);
    void all.session.onRefused(all.token);
    await settle();
    const token = sessionToken(novelaiMs() + 2 * HOUR);
    await all.logins[0]!.answer({ kind: 'ok', token });
    assert.equal(all.session.token(), token);
    await all.clock.advance(10 * MINUTE);
    assert.equal(all.loginsStarted, 2, `step ${stepMs}`);
    all.session.close();
  }
});

test('close, ends every timer, and a login still in flight changes nothing any more', async () => {
  const all = await readySession(DAY);
  void all.session.onRefused(all.token);
  await settle();
  all.session.close();
  const changes = all.changes.length;
  await all.logins[0]!.answer({ kind: 'ok', token: 'late' });
  await all.clock.advance(DAY);
  assert.equal(all.clock.timersLeft, 0);
  assert.equal(all.loginsStarted, 2);
  assert.equal(all.changes.length, changes);
});

test('close, no login begins after it', async () => {
  const all = await readySession(DAY);
  all.session.close();
  await all.session.onRefused(all.token);
  assert.equal(await all.session.onRefusedAgain(all.token), false);
  assert.equal(all.loginsStarted, 1);
  assert.equal(all.checks.length, 0);
});

test('any sequence of events, never two logins at once, never a state without a way on', async () => {
  const event = fc.oneof(
    fc.constantFrom('refused', 'refusedAgain', 'token', 'loginOk', 'loginFailed', 'loginRefused', 'loginThrows'),
    fc.constantFrom('works', 'checkRefused', 'checkUnknown', 'hourAhead', 'hourBack'),
    fc.integer({ min: 1, max: 40 }).map((minutes) => minutes * MINUTE),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 40 }),
      fc.constantFrom(45, 90, 600, 7200, 2_592_000),
      async (events, life) => {
        const all = setUpSession();
        const waits: Promise<unknown>[] = [];
        all.session.start();
        let last = '';
        const fresh = () => (last = sessionToken(all.clock.wallMs() + life * SECOND));
        for (const next of events) {
          if (typeof next === 'number') await all.clock.advance(next);
          else if (next === 'refused') waits.push(all.session.onRefused(last));
          else if (next === 'refusedAgain') waits.push(all.session.onRefusedAgain(last));
          else if (next === 'token') all.session.token();
          else if (next === 'hourAhead') all.clock.stepWall(HOUR);
          else if (next === 'hourBack') all.clock.stepWall(-HOUR);
          else if (next === 'works') await all.checks[0]?.answer('works');
          else if (next === 'checkRefused') await all.checks[0]?.answer('refused');
          else if (next === 'checkUnknown') await all.checks[0]?.answer('unknown');
          else if (next === 'loginOk') await all.logins[0]?.answer({ kind: 'ok', token: fresh() });
          else if (next === 'loginFailed') await all.logins[0]?.answer({ kind: 'failed', why: 'made up' });
          else if (next === 'loginRefused') await all.logins[0]?.answer({ kind: 'refused', why: 'made up' });
          else await all.logins[0]?.breakOff();
          assert.ok(all.mostAtOnce <= 1, 'two logins at once');
          assert.ok(all.clock.timersLeft <= 2, 'timers do not pile up');
          await settle(1);
          const isUnderWay = all.logins.length + all.checks.length + all.clock.timersLeft > 0;
          assert.ok(isUnderWay || all.session.state === 'ready', `stuck in ${all.session.state}`);
        }
        // In the end NovelAI is well: whoever waits is woken, and there is a token.
        for (let round = 0; round < 4; round += 1) {
          while (all.checks[0]) await all.checks[0].answer('works');
          while (all.logins[0]) await all.logins[0].answer({ kind: 'ok', token: fresh() });
          await all.clock.advance(6 * MINUTE);
        }
        await Promise.all(waits);
        assert.equal(all.session.state, 'ready');
        all.session.close();
        assert.equal(all.clock.timersLeft, 0);
      },
    ),
    { numRuns: 60 },
  );
});
