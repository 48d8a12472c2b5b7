// How a test's rank is told what to do: by its arguments, once, or line by line on standard input, one part after the
// other.
import { createInterface } from 'node:readline';

/**
 * Plays parts: `play` is given the name of a part and its options. A line is JSON: the part, its options, and the
 * variables of its launcher.
 */
export async function playParts(play) {
  const [part, options = '{}'] = process.argv.slice(2);
  if (part !== undefined) return play(part, JSON.parse(options));
  for await (const line of createInterface({ input: process.stdin })) {
    const { env, ...told } = JSON.parse(line);
    Object.assign(process.env, env);
    await play(told.part, told.options);
  }
}

/** What a part says in the end: a line of JSON. */
export const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
