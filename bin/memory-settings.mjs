// Settings of Node and of the C library that keep the service's memory low. They must stand when the process starts.

/**
 * The collector is within the program's reach, which gives memory back when there is nothing to do (`src/cli/idle-memory.ts`).
 *
 * V8's nursery grows to 32 MB while a program loads and does not shrink by itself; what this service makes much of are Buffers,
 * which live elsewhere. Of a busy service's time, collecting takes 6 % with this, 4.5 % with twice and 7.5 % with half of it.
 */
export const MEMORY_FLAGS = ['--expose-gc', '--max-semi-space-size=4'];

/** Gives this process's environment, with glibc told to hand freed memory back to the system rather than to hold on to it. */
export function memoryEnvironment() {
  const bytes = String(128 * 1024);
  return { MALLOC_TRIM_THRESHOLD_: bytes, MALLOC_MMAP_THRESHOLD_: bytes, MALLOC_ARENA_MAX: '2', ...process.env };
}
