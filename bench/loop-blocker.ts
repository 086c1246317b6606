// Loaded into the proxy's process by a bench (`--import`): on SIGWINCH its event loop stands still for BLOCK_MS.

process.on('SIGWINCH', () => {
  // Outside of any callback of a socket, where timers run before what has arrived is read: the harder case.
  setImmediate(() => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(process.env['BLOCK_MS']));
  });
});
