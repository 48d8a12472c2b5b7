// The program's side of LimitedProcess (lib/limited.mjs): does one piece of work after the other and says what came of
// it. A rejection that nobody handles ends the process.

process.on('unhandledRejection', (error) => {
  process.stderr.write(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(97);
});
// Where the parent is done, or was killed, nobody else ends this process.
process.on('disconnect', () => process.exit());

/** Gives each request to `work`; what it returns is added to the answer, as are the `notes` of an error. */
export function answer(work) {
  process.on('message', async (request) => {
    const result = { outcome: 'loaded', name: '', message: '', stack: '', notes: [] };
    try {
      Object.assign(result, await work(request));
    } catch (error) {
      const { name, message, stack, notes = [] } = error instanceof Error ? error : new Error(String(error));
      Object.assign(result, { outcome: isRefusal(error) ? 'refused' : 'failed', name, message, stack, notes });
    }
    // A promise that nobody waits for rejects a little later.
    await new Promise((resolve) => setImmediate(resolve));
    process.send(result);
  });
  process.send('ready');
}

/** promot's own errors for people, the subclasses included. */
function isRefusal(error) {
  for (let one = error; one; one = Object.getPrototypeOf(one)) if (one.constructor?.name === 'UserError') return true;
  return false;
}
