// Who is still there. Each rank writes a count and where it is into the store twice a second, from a thread of its own
// (native code): a count that stands still is a rank that has ended, was stopped or is out of reach. So an error can
// name a rank.
import { native } from '../native.js';
import { within } from './store.js';

/**
 * A count that has not changed for so long stands still. On a machine with too much to do a thread may wait for
 * seconds.
 */
const SILENT_MS = 4000;
const STORE_SECONDS = 5;

export const pulseKey = (rank: number) => `pulse/${rank}`;
const stoppedKey = (rank: number) => `stopped/${rank}`;

/** Says to the others why this rank stops. */
export async function sayStopped(rank: number, reason: string): Promise<void> {
  await within(STORE_SECONDS, 'the store', native.storeSet(stoppedKey(rank), reason));
}

/** Looks after the other ranks. */
export class Pulse {
  readonly #last = new Map<number, { text: string; since: number }>();

  constructor(
    readonly rank: number,
    readonly worldSize: number,
  ) {}

  /**
   * A sentence about the ranks that stopped or fell silent, or undefined; silence is seen when asked again after 4
   * seconds.
   */
  async trouble(): Promise<string | undefined> {
    const stopped = await this.#read(stoppedKey);
    for (const [rank, reason] of stopped) return `rank ${rank} stopped: ${reason}`;
    const now = performance.now();
    const silent: number[] = [];
    for (const [rank, text] of await this.#read(pulseKey)) {
      const last = this.#last.get(rank);
      if (last?.text !== text) this.#last.set(rank, { text, since: now });
      else if (now - last.since >= SILENT_MS) silent.push(rank);
    }
    if (silent.length === 0) return undefined;
    return (
      `${names(silent)} ${silent.length === 1 ? 'gives' : 'give'} no sign of life (ended, stopped or out of ` +
      `reach${this.#where(silent)})`
    );
  }

  /** Looks for trouble until there is some, for as long as it takes to tell silence. */
  async diagnose(): Promise<string | undefined> {
    const end = performance.now() + SILENT_MS + 1000;
    while (performance.now() < end) {
      const found = await this.trouble();
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    return undefined;
  }

  /** The ranks whose last note differs from this one, with their notes. */
  behind(note: string): string | undefined {
    const others = [...this.#last].filter(([rank, { text }]) => rank !== this.rank && noteOf(text) !== note);
    if (others.length === 0) return undefined;
    const ranks = others.map(([rank]) => rank);
    const run = ranks.length === 1 ? 'runs but has' : 'run but have';
    return `${names(ranks)} ${run} not come to it${this.#where(ranks)}`;
  }

  #where(ranks: readonly number[]): string {
    const notes = ranks.map((rank) => noteOf(this.#last.get(rank)?.text ?? '')).filter((note) => note !== '');
    return notes.length ? `; last seen at ${[...new Set(notes)].join(', ')}` : '';
  }

  /** The values of those ranks that have set the key. */
  async #read(key: (rank: number) => string): Promise<Map<number, string>> {
    const there: number[] = [];
    for (let rank = 0; rank < this.worldSize; rank++)
      if (await within(STORE_SECONDS, 'the store', native.storeCheck([key(rank)]))) there.push(rank);
    if (there.length === 0) return new Map();
    const values = await within(STORE_SECONDS, 'the store', native.storeGet(there.map(key)));
    return new Map(there.map((rank, i) => [rank, values[i] ?? '']));
  }
}

const noteOf = (text: string) => text.slice(text.indexOf(' ') + 1);

/** `rank 2`, `ranks 1 and 3`. */
export function names(ranks: readonly number[]): string {
  if (ranks.length === 1) return `rank ${ranks[0]}`;
  return `ranks ${ranks.slice(0, -1).join(', ')} and ${ranks.at(-1)}`;
}
