// Lets an account's next request go before what is only left to do about its last one.

/**
 * Calls back after two turns of the event loop. In the first one undici looks whether a connection whose answer has ended is still
 * good, and sends the next request on it; what comes after this does not stand between NovelAI and its work.
 */
export function afterTwoTurns(callback: () => void): void {
  setImmediate(() => setImmediate(callback));
}
