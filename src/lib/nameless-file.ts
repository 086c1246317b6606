// Files of the moment, and writes that are whole.
import { randomUUID } from 'node:crypto';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Opens a file for writing and reading that vanishes with its last handle, so that not even a crash leaves one behind. Makes the
 * folder where it is missing.
 * @throws {Error} when the file cannot be made.
 */
export async function openNamelessFile(dir: string): Promise<FileHandle> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, randomUUID());
  const file = await open(path, 'wx+', 0o600);
  await unlink(path).catch(() => undefined);
  return file;
}

/**
 * Writes all bytes, at `position` or where the last write ended: a disk that is nearly full takes a part and tells so.
 * @throws {Error} when the disk takes no more; a part may have been written then.
 */
export async function writeWhole(file: FileHandle, bytes: Buffer, position?: number): Promise<void> {
  for (let doneBytes = 0; doneBytes < bytes.length;) {
    const at = position === undefined ? null : position + doneBytes;
    const { bytesWritten } = await file.write(bytes, doneBytes, bytes.length - doneBytes, at);
    if (bytesWritten === 0) throw new Error('the disk takes nothing more');
    doneBytes += bytesWritten;
  }
}
