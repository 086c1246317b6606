// Lets many callers share one run of an asynchronous action.

/** Gives a function that starts `action` when none is running, and otherwise joins the running one. Failures are shared too. */
export function singleFlight<T>(action: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= action().finally(() => {
      running = undefined;
    });
    return running;
  };
}
