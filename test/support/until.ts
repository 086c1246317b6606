// Waiting for what is to come, rather than for a time in which it should have come.

/** Waits for a condition, looked at every few milliseconds; throws, with the condition's text, when `limitMs` are over. */
export async function until(condition: () => boolean, limitMs = 30_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`what was waited for did not come: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
