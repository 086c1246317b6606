// Tests of what can be an account's proxy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProxyUrl } from '../../../src/config/proxy-url.ts';

test('proxy address, HTTP and SOCKS5 with and without a login are taken', () => {
  for (const url of [
    'http://127.0.0.1:3128',
    'https://owner:made-up@proxy.example',
    'socks5://owner:per%25cent@127.0.0.1:1080',
    'socks5://[::1]:1080',
  ])
    assert.ok(isProxyUrl(url), url);
});

test('proxy address, other schemes, no address and a login that is not encoded are refused', () => {
  for (const text of [
    '',
    'proxy.example:3128',
    'ftp://proxy.example',
    'socks4://127.0.0.1',
    'http://owner:50%@proxy.example',
  ])
    assert.ok(!isProxyUrl(text), text);
});
