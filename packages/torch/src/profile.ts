// Where the time goes: calls and seconds by operator and by module (native/profile.cc).
import { native } from './native.js';

export interface OperatorTime {
  /** The operator (`aten::mm`), or the backward node that calls others; with shapes, those of its tensors behind it. */
  readonly name: string;
  readonly calls: number;
  /** Its own time in seconds, without that of the operators which it calls. */
  readonly seconds: number;
}

export interface Profile {
  /** The longest first. What their sum lacks of `seconds` was spent outside of libtorch. */
  readonly operators: readonly OperatorTime[];
  /**
   * The same time by the parts of a model (`inModule`), the longest first; a backward pass counts where its forward
   * pass was. What stands in no module is called "other".
   */
  readonly modules: readonly OperatorTime[];
  /** The whole time from start to stop. */
  readonly seconds: number;
}

export interface ProfileOptions {
  /** Tells calls apart by the shapes of their tensors. Default false. */
  readonly shapes?: boolean;
  /**
   * Counts processor time of all threads in place of the clock's, where the machine does other work too. Default false.
   */
  readonly processor?: boolean;
}

/**
 * Counts from now on how often each operator runs in this thread and how long it takes, backward passes on a CPU
 * included. Call what it returns to stop and to have the result. On a GPU the times are those of launching. Throws an
 * Error where a profile runs already.
 *
 * @example
 * const stop = startProfile();
 * loss.backward();
 * console.log(formatProfile(stop()));
 */
export function startProfile({ shapes = false, processor = false }: ProfileOptions = {}): () => Profile {
  native.startProfile(shapes, processor);
  profiling = true;
  return () => {
    const { seconds, rows } = native.stopProfile();
    profiling = false;
    const times = rows.map(([name, calls, own, module]) => ({ name, module, calls, seconds: own }));
    const modules = sums(times, ({ module }) => module || 'other');
    return { operators: sums(times, ({ name }) => name), modules, seconds };
  };
}

let profiling = false;

/**
 * Runs `body`, a synchronous function, as a part of a model that a profile names: operators count for the innermost
 * part. Costs next to nothing while no profile runs.
 *
 * @example
 * const y = inModule('attention', () => attend(x));
 */
export function inModule<T>(name: string, body: () => T): T {
  if (!profiling) return body();
  native.enterModule(name);
  try {
    return body();
  } finally {
    native.leaveModule();
  }
}

/** Sums of what has the same name, the longest first. */
function sums<T extends OperatorTime>(times: readonly T[], nameOf: (time: T) => string): OperatorTime[] {
  const found = new Map<string, { name: string; calls: number; seconds: number }>();
  for (const time of times) {
    const name = nameOf(time);
    const sum = found.get(name) ?? { name, calls: 0, seconds: 0 };
    sum.calls += time.calls;
    sum.seconds += time.seconds;
    found.set(name, sum);
  }
  return [...found.values()].sort((a, b) => b.seconds - a.seconds);
}

/**
 * A profile as a table of text: share of the whole time, milliseconds, calls and name; of each module, then of at most
 * `rows` operators.
 */
export function formatProfile({ operators, modules, seconds }: Profile, rows = 25): string {
  const line = (spent: number, calls: number | string, name: string) =>
    `${((100 * spent) / seconds).toFixed(1).padStart(5)} % ${(1000 * spent).toFixed(1).padStart(10)} ms ` +
    `${String(calls).padStart(8)}  ${name}`;
  const lines = (list: readonly OperatorTime[]) => list.map((o) => line(o.seconds, o.calls, o.name));
  const sum = (list: readonly OperatorTime[], of: 'calls' | 'seconds') => list.reduce((total, o) => total + o[of], 0);
  const rest = operators.slice(rows);
  return [
    ...(modules.some(({ name }) => name !== 'other') ? [...lines(modules), ''] : []),
    ...lines(operators.slice(0, rows)),
    ...(rest.length > 0 ? [line(sum(rest, 'seconds'), sum(rest, 'calls'), `${rest.length} others`)] : []),
    line(seconds - sum(operators, 'seconds'), '', 'outside of libtorch'),
    line(seconds, '', 'all'),
  ].join('\n');
}
