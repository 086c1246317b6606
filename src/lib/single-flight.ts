// Lets many callers share one run of an asynchronous action.

/**
 * Gives a function that starts `action` when none is running, and otherwise joins the running one. Failures are shared too. An
 * action that calls the function while it is starting joins itself.
 */
export function singleFlight<T>(action: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    if (running) return running;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    running = promise;
    const end = () => {
      running = undefined;
    };
    try {
      resolve(action().finally(end));
    } catch (error) {
      end();
      reject(error);
    }
    return promise;
  };
}
