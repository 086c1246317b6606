// Reading the engines' own errors.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { asStoreError, faultOf, StoreUnavailableError } from '../../../src/store/store-error.ts';

function withCode(code: string, more: object = {}): Error {
  return Object.assign(new Error('as the engine says it'), { code, ...more });
}

test('each code, in its kind', () => {
  const sqlite = (errcode: number) => withCode('ERR_SQLITE_ERROR', { errcode });
  const rows: [Error, string | undefined][] = [
    [sqlite(13), 'disk_full'],
    [sqlite(8), 'read_only'],
    [sqlite(5), 'busy'],
    [sqlite(261), 'busy'], // SQLITE_BUSY_RECOVERY: the upper byte only refines it
    [sqlite(778), 'io'], // SQLITE_IOERR_WRITE
    [sqlite(26), 'corrupt'],
    [sqlite(19), undefined], // a constraint
    [sqlite(1), undefined], // a fault in the statement
    [withCode('53100'), 'disk_full'],
    [withCode('53300'), 'connection'], // too many connections
    [withCode('25006'), 'read_only'],
    [withCode('57P01'), 'connection'], // the server is shut down
    [withCode('08006'), 'connection'],
    [withCode('40P01'), 'busy'],
    [withCode('23505'), undefined], // a constraint
    [withCode('42P01'), undefined], // no such table
    [withCode('ECONNREFUSED'), 'connection'],
    [withCode('ENOENT', { syscall: 'connect' }), 'connection'],
    [withCode('ENOENT', { syscall: 'open' }), 'io'],
    [withCode('ENOSPC'), 'disk_full'],
    [withCode('EIO'), 'io'],
    [new Error('Connection terminated unexpectedly'), 'connection'],
    [new Error('timeout exceeded when trying to connect'), 'connection'],
    [new TypeError('x is not a function'), undefined],
  ];
  for (const [error, fault] of rows) assert.equal(faultOf(error), fault, JSON.stringify(error));
});

test('a fault of the statement, passed on as it is; anything else becomes unavailable, with its cause', () => {
  const own = new TypeError('a fault in the code');
  assert.equal(asStoreError(own), own);
  const cause = withCode('ENOSPC');
  const mapped = asStoreError(cause, { isInDoubt: true });
  assert.ok(mapped instanceof StoreUnavailableError);
  assert.equal(mapped.cause, cause);
  assert.equal(mapped.isInDoubt, true);
  assert.equal(asStoreError(mapped), mapped, 'not wrapped twice');
});

test('the codes of Node’s own SQLite, as they really come', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('create table t (a text); pragma max_page_count = 2; pragma query_only = on');
  assert.throws(
    () => database.exec("insert into t values ('x')"),
    (error) => faultOf(error) === 'read_only',
  );
  database.exec('pragma query_only = off');
  assert.throws(
    () => database.prepare('insert into t values (?)').run('x'.repeat(100_000)),
    (error) => faultOf(error) === 'disk_full',
  );
  database.close();
});
