// How long a campaign goes on: for so many minutes, so many cases, or until SIGTERM. In each way it says what it did.

/** A function to be called before each case, which tells whether the campaign is over. */
export function timer({ minutes, cases = Number.POSITIVE_INFINITY }) {
  const end = Date.now() + 60_000 * minutes;
  let stopped = false;
  let begun = 0;
  process.once('SIGTERM', () => {
    stopped = true;
  });
  return () => stopped || Date.now() >= end || begun++ >= cases;
}
