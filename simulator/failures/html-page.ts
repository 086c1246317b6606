// The pages of the edge in front of NovelAI: HTML where a client expects JSON (contract 1, 2.5, 5).
import type { Answer } from '../exchange.ts';

const TITLES: Readonly<Record<number, string>> = {
  403: 'Attention Required! | Cloudflare',
  429: 'Too many requests',
  502: 'Bad gateway',
  504: 'Gateway time-out',
  520: 'Web server is returning an unknown error',
  522: 'Connection timed out',
  524: 'A timeout occurred',
};

/** Gives the edge's page for a status. */
export function htmlPage(status: number): Answer {
  const title = TITLES[status] ?? `Error ${status}`;
  const html = `<!DOCTYPE html>\n<html lang="en-US">\n<head><title>${title}</title></head>\n<body><h1>${title}</h1><p>Error ${status}</p></body>\n</html>\n`;
  return {
    status,
    headers: [['content-type', 'text/html; charset=UTF-8']],
    pieces: [Buffer.from(html)],
    framing: 'length',
  };
}
