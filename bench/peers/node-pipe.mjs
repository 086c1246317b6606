// The least that a proxy in Node can be: http.request and pipe. `node node-pipe.mjs PORT ORIGIN_PORT`.
import { Agent, createServer, request } from 'node:http';

const [port, originPort] = process.argv.slice(2).map(Number);
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

createServer((incoming, outgoing) => {
  const { method, url: path, headers } = incoming;
  const upstream = request({ agent, host: '127.0.0.1', port: originPort, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  upstream.on('error', () => outgoing.destroy());
  incoming.pipe(upstream);
}).listen(port, '127.0.0.1');
