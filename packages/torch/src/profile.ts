// Where the time goes: calls and seconds by operator (native/profile.cc).
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
  return () => {
    const { seconds, rows } = native.stopProfile();
    const operators = rows.map(([name, calls, own]) => ({ name, calls, seconds: own }));
    return { operators: operators.sort((a, b) => b.seconds - a.seconds), seconds };
  };
}

/** A profile as a table of text: share of the whole time, milliseconds, calls, operator; at most `rows` operators. */
export function formatProfile({ operators, seconds }: Profile, rows = 25): string {
  const line = (spent: number, calls: number | string, name: string) =>
    `${((100 * spent) / seconds).toFixed(1).padStart(5)} % ${(1000 * spent).toFixed(1).padStart(10)} ms ${String(calls).padStart(8)}  ${name}`;
  const sum = (list: readonly OperatorTime[]) => list.reduce((total, operator) => total + operator.seconds, 0);
  const rest = operators.slice(rows);
  return [
    ...operators.slice(0, rows).map((o) => line(o.seconds, o.calls, o.name)),
    ...(rest.length > 0
      ? [
          line(
            sum(rest),
            rest.reduce((n, o) => n + o.calls, 0),
            `${rest.length} others`,
          ),
        ]
      : []),
    line(seconds - sum(operators), '', 'outside of libtorch'),
    line(seconds, '', 'all'),
  ].join('\n');
}
