// Frees the memory of a Buffer at once. V8 counts Buffers, but collects only after some 64 MB of them have become garbage.

/**
 * To be called only by the one who has the Buffer to himself, when nobody reads or writes it any more, the system included.
 * Does nothing for a Buffer that shares its memory with others.
 */
export function freeBuffer(buffer: Buffer): void {
  const { buffer: memory } = buffer;
  if (memory instanceof ArrayBuffer && memory.byteLength === buffer.byteLength) memory.transfer(0);
}
