// http-proxy as its manual shows it, with connections kept. `node http-proxy.mjs PORT ORIGIN_PORT`.
import { Agent } from 'node:http';
import httpProxy from 'http-proxy';

const [port, originPort] = process.argv.slice(2).map(Number);
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

httpProxy
  .createProxyServer({ target: { host: '127.0.0.1', port: originPort }, agent })
  .on('error', (_error, _request, response) => response.destroy())
  .listen(port, '127.0.0.1');
