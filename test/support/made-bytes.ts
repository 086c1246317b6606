// Bytes for tests of bodies: no two stretches of them are alike.

export function madeBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 1) bytes[at] = (at * 31 + (at >> 8) + (at >> 16)) & 0xff;
  return bytes;
}
