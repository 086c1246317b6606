// Portkey's gateway as it starts itself, with one mend: it appends headers to answers as fetch gives them, which Node forbids, so
// fetch gives it copies that may be changed. `node portkey.mjs --port=PORT --headless`.
const { fetch, Response } = globalThis;
globalThis.fetch = async (...request) => {
  const answer = await fetch(...request);
  return new Response(answer.body, answer);
};
await import('@portkey-ai/gateway/build/start-server.js');
