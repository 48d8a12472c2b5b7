// Progress for people on standard error: a live bar on a terminal, a plain line every few seconds elsewhere.

import cliProgress from 'cli-progress';
import type { Io } from './io.js';

const secondsBetweenLines = 5;

/** The bars on the screen. Their clock would keep the process alive after an error. */
const drawn = new Set<cliProgress.SingleBar>();

/** Wipes away whatever bar an error left on the screen. */
export function stopProgress(): void {
  for (const bar of drawn) bar.stop();
  drawn.clear();
}

/** One bar at a time, with lines above it. A finished bar is removed. Lines report results. */
export class Progress {
  readonly #io: Io;
  #bar: cliProgress.SingleBar | undefined;
  #title = '';
  #done = 0;
  #total = 0;
  #started = 0;
  #from = 0;
  #lastLine = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /**
   * Shows how far `title` is; a new title begins a new bar. `remaining` is in seconds, estimated where it is not given.
   */
  update(title: string, done: number, total: number, details = '', remaining?: number): void {
    const now = Date.now();
    if (title !== this.#title) {
      this.stop();
      this.#title = title;
      this.#started = now;
      this.#from = done;
      this.#lastLine = now;
    }
    this.#done = done;
    this.#total = total;
    const took = (now - this.#started) / 1000;
    const rest = remaining ?? (done > this.#from ? (took / (done - this.#from)) * (total - done) : undefined);
    this.#draw([details, rest === undefined ? '' : `${duration(rest)} left`].filter((part) => part !== '').join('  '));
  }

  /** Says what the present bar is waiting for; without one, begins one with this title. */
  waiting(title: string, what: string, done: number, total: number): void {
    if (this.#title === '') this.update(title, done, total, what);
    else this.#draw(`${what} ${done}/${total}`);
  }

  #draw(tail: string): void {
    const title = this.#title;
    if (this.#io.stderr.isTTY) {
      if (this.#bar) this.#bar.update(this.#done, { title, tail });
      else {
        // Its own handling of signals would take Ctrl-C from us.
        this.#bar = new cliProgress.SingleBar({
          format: '{title} [{bar}] {value}/{total}  {tail}',
          stream: this.#io.stderr,
          barsize: 20,
          hideCursor: true,
          clearOnComplete: true,
          gracefulExit: false,
        });
        drawn.add(this.#bar);
        this.#bar.start(this.#total, this.#done, { title, tail });
      }
    } else if (Date.now() - this.#lastLine >= secondsBetweenLines * 1000) {
      this.#lastLine = Date.now();
      this.#io.stderr.write(`${title} ${this.#done}/${this.#total}  ${tail}\n`);
    }
  }

  /** A line above the bar. */
  line(text: string): void {
    this.#wipe();
    this.#io.stderr.write(`${text}\n`);
  }

  /** Ends the bar. */
  stop(): void {
    this.#wipe();
    this.#title = '';
  }

  #wipe(): void {
    if (!this.#bar) return;
    this.#bar.stop();
    drawn.delete(this.#bar);
    this.#bar = undefined;
  }
}

/** A whole number as people read it: 1,234,567. (`toLocaleString` takes some hundredths of a second the first time.) */
export function thousands(number: number): string {
  return String(number).replaceAll(/\B(?=(\d{3})+$)/gu, ',');
}

/** Seconds for people: `45 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Bytes for people. */
export function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
