// How long a campaign goes on: for so many minutes, or until SIGTERM. Either way it says what it did.

/** A function that tells whether the time is over. */
export function timer(minutes) {
  const end = Date.now() + 60_000 * minutes;
  let stopped = false;
  process.once('SIGTERM', () => {
    stopped = true;
  });
  return () => stopped || Date.now() >= end;
}
