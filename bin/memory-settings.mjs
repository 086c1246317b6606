// Settings of Node and of the C library that keep the service's memory low. They must stand when the process starts.

/**
 * The collector is within the program's reach, which gives memory back when there is nothing to do (`src/cli/idle-memory.ts`).
 *
 * V8's nursery grows to 32 MB while a program loads and does not shrink by itself; what this service makes much of are Buffers,
 * which live elsewhere. Of a busy service's time, collecting takes 6 % with this, 4.5 % with twice and 7.5 % with half of it.
 *
 * V8's middle compiler works in pieces that glibc's heap keeps as holes, 8 MB of them. Without it the first ten thousand requests take
 * twice the CPU time, and those after them the same.
 */
export const MEMORY_FLAGS = ['--expose-gc', '--max-semi-space-size=4', '--no-maglev'];

/**
 * What is as large as this is taken from the system one by one and goes back as soon as it is free. V8 compiles in pieces of 32 KB, and
 * answers that come without TLS are read into pieces of 64: taken from glibc's heap, as pieces below 128 KB are by default, they
 * leave holes that are never given back, 10 MB at six pictures a second and 40 at three hundred. A picture of 1.5 MB without TLS costs
 * 1 ms more CPU time for it. NovelAI's own come in TLS records of 16 KB, which are below this.
 */
const OWN_PAGES_BYTES = 32 * 1024;
const TRIM_BYTES = 128 * 1024;

/** Gives this process's environment, with glibc told to hand freed memory back to the system rather than to hold on to it. */
export function memoryEnvironment() {
  return {
    MALLOC_TRIM_THRESHOLD_: String(TRIM_BYTES),
    MALLOC_MMAP_THRESHOLD_: String(OWN_PAGES_BYTES),
    MALLOC_ARENA_MAX: '2',
    ...process.env,
  };
}
