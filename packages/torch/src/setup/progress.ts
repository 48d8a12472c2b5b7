// How set-up tells people what it does: one line a step, a live bar on a terminal, a plain line every few seconds
// elsewhere.

/** One thing that set-up reports. Sizes are in bytes. */
export interface SetupEvent {
  /** `step`: something begins. `progress`: it moves on. `note`: a fact worth saying. */
  kind: 'step' | 'progress' | 'note';
  message: string;
  /** Of a `progress`: how much is done. */
  done?: number;
  /** Of a `progress`: how much there is, where that is known. */
  total?: number;
  /** Of a `progress`: what is counted. */
  unit?: 'bytes' | 'files';
}

/** Takes the events of set-up as they come. */
export type OnProgress = (event: SetupEvent) => void;

const PLAIN_INTERVAL_MS = 5000;
const LIVE_INTERVAL_MS = 100;

/**
 * The reporter used when the caller gives none.
 * @param stream where lines go; standard error, so that standard output stays for the program's own answer.
 */
export function reportTo(stream: NodeJS.WriteStream = process.stderr): OnProgress {
  const live = stream.isTTY === true;
  let started = 0;
  let shown = 0;
  let current = '';
  let onBar = false;
  const endBar = () => {
    if (onBar) stream.write('\n');
    onBar = false;
  };
  return (event) => {
    if (event.kind !== 'progress') {
      endBar();
      current = '';
      stream.write(event.kind === 'note' ? `  ${event.message}\n` : `${event.message}\n`);
      return;
    }
    const now = Date.now();
    if (event.message !== current) {
      endBar();
      current = event.message;
      started = now;
      shown = live ? 0 : now; // The plain form waits: a quick step needs no second line.
    }
    const finished = event.total !== undefined && (event.done ?? 0) >= event.total;
    const due = now - shown >= (live ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS);
    if (!due && !(live && finished)) return;
    shown = now;
    const line = formatProgress(event, (now - started) / 1000);
    if (live) {
      const columns = stream.columns ?? 80;
      stream.write(`\r\x1b[2K${line.slice(0, columns - 1)}`);
      onBar = true;
      if (finished) endBar();
    } else stream.write(`${line}\n`);
  };
}

/**
 * One line such as `  libtorch.zip  [#####     ]  52 %  95 of 183 MB  12 s left`. `seconds` have passed since it began.
 */
export function formatProgress(event: SetupEvent, seconds: number): string {
  const done = event.done ?? 0;
  const amount = (n: number) => (event.unit === 'files' ? String(n) : (n / 1e6).toFixed(0));
  const unit = event.unit === 'files' ? 'files' : 'MB';
  if (!event.total) return `  ${event.message}  ${amount(done)} ${unit}  ${seconds.toFixed(0)} s`;
  const share = Math.min(1, done / event.total);
  const bar = '#'.repeat(Math.round(share * 20)).padEnd(20);
  const left = share > 0 && share < 1 && seconds >= 1 ? `  ${Math.ceil((seconds / share) * (1 - share))} s left` : '';
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `  ${event.message}  [${bar}] ${percent} %  ${amount(done)} of ${amount(event.total)} ${unit}${left}`;
}

/** Says once that another process is at it. */
export function waiting(onProgress: OnProgress): (pid: number) => void {
  return (pid) => onProgress({ kind: 'note', message: `Waiting for process ${pid}, which is doing the same set-up` });
}
