// A session with a fake clock, and logins and checks that a test answers when it likes.
import assert from 'node:assert/strict';
import { Session } from '../../src/accounts/session.ts';
import type { LoginResult } from '../../src/upstream/account-api.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { sessionToken } from './session-token.ts';

export type CheckAnswer = 'works' | 'refused' | 'unknown';

export interface SessionUnderTest {
  clock: FakeClock;
  session: Session;
  /** Logins that wait for their answer. */
  logins: { answer: (result: LoginResult) => Promise<void>; breakOff: () => Promise<void> }[];
  checks: { token: string; answer: (answer: CheckAnswer) => Promise<void>; breakOff: () => Promise<void> }[];
  /** Every login ever started. */
  readonly loginsStarted: number;
  mostAtOnce: number;
  changes: string[];
  tokensSeen: string[];
  /** Answers the login that waits with a token of this life; gives the token. */
  grant(lifeMs: number | undefined): Promise<string>;
}

export function setUpSession({
  token,
  hasLogin = true,
}: { token?: string | undefined; hasLogin?: boolean } = {}): SessionUnderTest {
  const clock = new FakeClock();
  let started = 0;
  const result: Omit<SessionUnderTest, 'session' | 'loginsStarted'> = {
    clock,
    logins: [],
    checks: [],
    mostAtOnce: 0,
    changes: [],
    tokensSeen: [],
    async grant(lifeMs) {
      const fresh = sessionToken(lifeMs === undefined ? undefined : clock.wallMs() + lifeMs);
      const login = result.logins[0];
      assert.ok(login, 'a login waits');
      await login.answer({ kind: 'ok', token: fresh });
      return fresh;
    },
  };
  const session = new Session(
    { name: 'a', token, concurrency: 1 },
    {
      clock,
      random: () => 0,
      logIn: hasLogin
        ? () => {
            started += 1;
            return new Promise((resolve, reject) => {
              const entry = {
                answer: (answer: LoginResult) => {
                  result.logins.splice(result.logins.indexOf(entry), 1);
                  resolve(answer);
                  return settle();
                },
                breakOff: () => {
                  result.logins.splice(result.logins.indexOf(entry), 1);
                  reject(new Error('made up'));
                  return settle();
                },
              };
              result.logins.push(entry);
              result.mostAtOnce = Math.max(result.mostAtOnce, result.logins.length);
            });
          }
        : undefined,
      checkToken: (checked) =>
        new Promise((resolve, reject) => {
          const entry = {
            token: checked,
            answer: (answer: CheckAnswer) => {
              result.checks.splice(result.checks.indexOf(entry), 1);
              resolve(answer);
              return settle();
            },
            breakOff: () => {
              result.checks.splice(result.checks.indexOf(entry), 1);
              reject(new Error('made up'));
              return settle();
            },
          };
          result.checks.push(entry);
        }),
      onChange: () => result.changes.push(session.state),
      onToken: (seen) => result.tokensSeen.push(seen),
    },
  );
  return Object.defineProperty(Object.assign(result, { session }), 'loginsStarted', {
    get: () => started,
  }) as SessionUnderTest;
}

/** One that has logged in and got a token of this life. */
export async function readySession(lifeMs: number | undefined): Promise<SessionUnderTest & { token: string }> {
  const all = setUpSession();
  all.session.start();
  const token = await all.grant(lifeMs);
  return Object.assign(all, { token });
}
